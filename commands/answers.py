"""Answers of the SQL functions that an application calls."""

import click
from psycopg.types.json import Jsonb

from aisle import db
from aisle.commands import Database, json_option, pass_database, print_query
from aisle.db import Connection

top_option = click.option(
    "-k", "--top", "k", default=3, show_default=True, type=click.IntRange(min=1), help="Number of answers."
)
level_option = click.option(
    "--level", type=click.IntRange(min=1), help="Number of steps of the answered category paths.  [default: all]"
)

# The three largest terms of the difference between the first two categories, beside the first.
WHY = """
, case when rank = 1 then (
      select string_agg(concat_ws(' ', coalesce(value, because), round(share::numeric, 2)), ', ' order by share desc)
      from (select * from aisle.explain_category(%(name)s, %(manufacturer)s) where share > 0
            order by share desc limit 3) e) end as why
"""


@click.command("predict-category")
@click.argument("name")
@click.option("--manufacturer", help="The manufacturer or brand.")
@top_option
@level_option
@click.option("--why", is_flag=True, help="Show what speaks most for the first category and against the second.")
@json_option
@pass_database
def predict_category(
    database: Database, name: str, manufacturer: str | None, k: int, level: int | None, why: bool, as_json: bool
) -> None:
    """Predict the category of a product from its NAME."""
    if why and level:
        raise click.UsageError("--why explains whole categories: leave out --level.")
    with database.connect() as connection:
        print_query(
            connection,
            _query(
                connection,
                "aisle.predict_category(%(name)s, %(manufacturer)s, %(k)s, %(level)s)",
                WHY if why else "",
            ),
            {"name": name, "manufacturer": manufacturer, "k": k, "level": level},
            as_json=as_json,
        )


@click.command("item-category")
@click.argument("item_id", metavar="ID")
@top_option
@level_option
@json_option
@pass_database
def item_category(database: Database, item_id: str, k: int, level: int | None, as_json: bool) -> None:
    """Predict the category of an attached item."""
    with database.connect() as connection:
        print_query(
            connection,
            _query(connection, "aisle.item_category(%s, %s, %s)"),
            (item_id, k, level),
            as_json=as_json,
        )


def _query(connection: Connection, call: str, more: str = "") -> str:
    """Return the query of an answer; it shows ids only where categories have them."""
    has_ids = db.fetch_value(connection, "select aisle._has_tree()")
    return " ".join(["select rank, category, confidence", ", category_id" if has_ids else "", more, "from", call])


@click.command()
@click.argument("item_id", metavar="ID")
@top_option
@click.option(
    "--space",
    type=click.Choice(["category", "basket", "behaviour", "after"]),
    default="category",
    show_default=True,
    help="Compare items by their texts, by the products bought with them, by the users that had both, or by what "
    "follows.",
)
@json_option
@pass_database
def similar(database: Database, item_id: str, k: int, space: str, as_json: bool) -> None:
    """List the attached items most similar to an item."""
    with database.connect() as connection:
        print_query(
            connection,
            "select s.rank, s.item_id, i.name, s.score from aisle.similar_items(%s, %s, %s) s"
            " left join lateral aisle._read_items(array[s.item_id]) i on true order by s.rank",
            (item_id, k, space),
            as_json=as_json,
        )


@click.command()
@click.argument("user_id", metavar="USER")
@click.option("-k", "--top", "k", default=10, show_default=True, type=click.IntRange(min=1), help="Number of items.")
@click.option("--category", help="Recommend only items of this category or one below it.")
@click.option(
    "--context",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Value of a context column, such as meal_time=lunch; repeatable.",
)
@click.option("--repeats", is_flag=True, help="Include items from the user's own history.")
@click.option("--why", is_flag=True, help="Show the largest terms of each score.")
@json_option
@pass_database
def recommend(
    database: Database, user_id: str, k: int, category: str | None, pairs: tuple[str, ...], repeats: bool, why: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Recommend items to a user."""
    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise click.BadParameter(f"{wrong[0]!r} is not NAME=VALUE.", param_hint="--context")
    context = dict(pair.split("=", 1) for pair in pairs)
    given = {
        "user": user_id,
        "k": k,
        "category": category,
        "context": Jsonb(context) if context else None,
        "exclude_seen": not repeats,
    }
    with database.connect() as connection:
        print_query(
            connection, db.read("queries/recommend_why" if why else "queries/recommend"), given, as_json=as_json
        )


@click.command("next-basket")
@click.argument("user_id", metavar="USER")
@click.option(
    "-k",
    "--top",
    "k",
    default=10,
    show_default=True,
    type=click.IntRange(min=0),
    help="Number of items; 0 chooses the number that maximises the expected F1.",
)
@click.option("--why", is_flag=True, help="Show the largest terms of each score.")
@json_option
@pass_database
def next_basket(database: Database, user_id: str, k: int, why: bool, as_json: bool) -> None:
    """Predict a customer's next order."""
    query = db.read("queries/next_basket_why" if why else "queries/next_basket")
    with database.connect() as connection:
        print_query(connection, query, {"user": user_id, "k": k or None}, as_json=as_json)


@click.command()
@click.argument("query")
@top_option
@json_option
@pass_database
def search(database: Database, query: str, k: int, as_json: bool) -> None:
    """List the attached items nearest to a text."""
    with database.connect() as connection:
        print_query(
            connection,
            "select s.rank, s.item_id, i.name, s.score from aisle.search_items(%s, %s) s"
            " left join lateral aisle._read_items(array[s.item_id]) i on true order by s.rank",
            (query, k),
            as_json=as_json,
        )
