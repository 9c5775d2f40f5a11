"""Queries Aisle with Django's ORM: `raw` for rows of a model, an expression for an answer about each row.

    DATABASE_URL=postgresql://… python examples/with_django.py USER 'a product name'

In a project the settings are in settings.py, and the models in models.py.
"""

import os
import sys

import django
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict

address = conninfo_to_dict(os.environ["DATABASE_URL"])
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": address["dbname"],
            "USER": address.get("user", ""),
            "PASSWORD": address.get("password", ""),
            "HOST": address.get("host", ""),
            "PORT": address.get("port", ""),
            "OPTIONS": {
                name: address[name] for name in address.keys() - {"dbname", "user", "password", "host", "port"}
            },
        }
    }
)
django.setup()

from django.db import connection, models  # noqa: E402 - after the settings


class Product(models.Model):
    """The shop's own table. It has no column of Aisle."""

    id = models.BigAutoField(primary_key=True)
    name = models.TextField(null=True)
    category = models.TextField(null=True)

    class Meta:
        """The table with its schema: Django does not change a name in quotes."""

        app_label = "shop"
        managed = False
        db_table = '"shop"."products"'


class PredictedCategory(models.Func):
    """The most likely category of a row, from its stored vector."""

    template = "(select category from aisle.item_category(%(expressions)s, 1))"
    output_field = models.TextField()


user, name = sys.argv[1:]

print(f"{name} is probably:")
with connection.cursor() as cursor:
    cursor.execute("select category, confidence from aisle.predict_category(%s)", [name])
    for category, confidence in cursor.fetchall():
        print(f"  {category} ({confidence:.0%})")

print(f"Recommended to {user} for lunch:")
recommended = Product.objects.raw(
    "select p.*, r.score from aisle.recommend(%s, k => 5, context => %s) r"
    " join shop.products p on p.id = r.item_id::bigint order by r.rank",
    [user, '{"meal_time": "lunch"}'],
)
for product in recommended:
    print(f"  {product.name} ({product.score:.2f})")

print(f"The next order of {user}:")
ordered = Product.objects.raw(
    "select p.*, b.probability from aisle.next_basket(%s, k => null) b"
    " join shop.products p on p.id = b.item_id::bigint order by b.rank",
    [user],
)
for product in ordered:
    print(f"  {product.name} ({product.probability:.0%})")

print("Products without a category, and their predictions:")
for product in Product.objects.filter(category=None).annotate(predicted=PredictedCategory("id")).order_by("id"):
    print(f"  {product.name}: {product.predicted}")
