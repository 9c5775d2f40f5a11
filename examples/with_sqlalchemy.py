"""Queries Aisle with SQLAlchemy 2: its functions are selectables, which join like tables; a vector is an array.

    DATABASE_URL=postgresql+psycopg://… python examples/with_sqlalchemy.py USER 'a product name'

The role gets its rights by: aisle grant --reader ROLE
"""

import os
import sys
from typing import Any

from pgvector.sqlalchemy import Vector
from sqlalchemy import BigInteger, Float, Integer, MetaData, Text, cast, column, create_engine, func, null, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.sql.selectable import TableValuedAlias

RANK, ITEM, SCORE = column("rank", Integer), column("item_id", Text), column("score", Float)


class Base(DeclarativeBase):
    """The base of the shop's tables, with their schema."""

    metadata = MetaData(schema="shop")


class Product(Base):
    """The shop's own table. It has no column of Aisle."""

    __tablename__ = "products"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str]


def predict_category(name: str, k: int = 3) -> TableValuedAlias:
    """Return the k most likely categories of a product. It need not be in the table."""
    answer = func.aisle.predict_category(name, null(), k)
    return answer.table_valued(RANK, column("category", Text), column("confidence", Float))


def recommend(user: str, k: int = 10, context: dict[str, Any] | None = None) -> TableValuedAlias:
    """Return the k best items for a user. `func` has no `=>`, so the arguments are positional."""
    return func.aisle.recommend(user, k, null(), cast(context, JSONB(none_as_null=True))).table_valued(
        RANK, ITEM, SCORE
    )


def next_basket(user: str, k: int | None = None) -> TableValuedAlias:
    """Return the next order of a customer; without k, the number of items that maximises the expected F1."""
    answer = func.aisle.next_basket(user, cast(k, Integer))
    return answer.table_valued(RANK, ITEM, SCORE, column("probability", Float), column("bought_before"))


user, name = sys.argv[1:]
engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://", 1))

with Session(engine) as session:
    print(f"{name} is probably:")
    answer = predict_category(name)
    for category, confidence in session.execute(select(answer.c.category, answer.c.confidence).order_by("rank")):
        print(f"  {category} ({confidence:.0%})")

    print(f"Recommended to {user} for lunch:")
    answer = recommend(user, 5, {"meal_time": "lunch"})
    joined = select(Product, answer.c.score).join(answer, Product.id == cast(answer.c.item_id, BigInteger))
    for product, score in session.execute(joined.order_by(answer.c.rank)):
        print(f"  {product.name} ({score:.2f})")

    print(f"The next order of {user}:")
    answer = next_basket(user)
    joined = select(Product, answer.c.probability).join(answer, Product.id == cast(answer.c.item_id, BigInteger))
    for product, probability in session.execute(joined.order_by(answer.c.rank)):
        print(f"  {product.name} ({probability:.0%})")

    vector = session.scalars(select(func.aisle.embed_text(name, type_=Vector()))).one()
    print(f"The vector of {name} has {len(vector)} dimensions.")
