"""`aisle demo`: a generated shop, three models and their answers within minutes."""

from pathlib import Path
from typing import Any, LiteralString

import click
from psycopg import sql as compose

from aisle import db, trainers
from aisle.commands import Database, pass_database, print_query
from aisle.db import Connection, addresses, errors

MARK = "Made by aisle demo."  # the comment on the schema `shop`


@click.command()
@click.option(
    "--items",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV, Excel or Parquet file of your own products.  [default: a generated shop]",
)
@click.option("--id", "id_column", default="id", show_default=True, help="Id column of your file.")
@click.option("--name", default="name", show_default=True, help="Name column of your file.")
@click.option("--manufacturer", help="Manufacturer column of your file.")
@click.option("--category", default="category", show_default=True, help="Category column of your file.")
@click.option("--reset", is_flag=True, help="Drop the demo's schema `shop` and its models first.")
@pass_database
def demo(
    database: Database,
    items: Path | None,
    id_column: str,
    name: str,
    manufacturer: str | None,
    category: str,
    reset: bool,
) -> None:
    """Fill a shop, train models on it, and query them in SQL."""
    from aisle import migrations
    from aisle.trainers.category.options import NgramOptions

    _say("Preparing the database …")
    with db.connect(database.url) as connection:
        _refuse_a_real_shop(connection)
    migrations.migrate(database.url)
    with database.connect() as connection:
        if reset:
            _reset(connection)
        if connection.execute("select from aisle._attachments where kind = 'items'").fetchone() is None:
            table = _own_table(connection, items, id_column) if items else _generated_shop(connection)
            columns = (id_column, name, manufacturer, category) if items else ("id", "name", "manufacturer", "category")
            connection.execute(
                "select aisle.attach_items(%s, %s, %s, %s, %s, text_columns => %s)",
                (table, *columns, [] if items else ["specifications"]),
            )
        if not _is_live(connection, "category"):
            _train(database, "category", **({} if items else {"ngram": NgramOptions(members=1)}))  # four take a minute
        generated = db.fetch_value(connection, "select to_regclass('shop.visits') is not null")
        if generated:
            _attach_history(connection)
            if not _is_live(connection, "recommender"):
                _train(database, "recommender", model="item-item")  # the towers take minutes
            if not _is_live(connection, "basket"):
                _train(database, "basket", deploy=True)
        _show(connection, generated=generated)
    click.echo(
        f"""
The database is running: {addresses.without_password(database.url)}
  aisle db shell                                      open psql; \\df+ aisle.* shows the documentation
  aisle predict-category '아기 기저귀 팬티형 4단계'   classify any product
  aisle recommend user-42 --category 식품             recommend to any customer
  aisle next-basket user-42                           predict any customer's next order
  aisle evaluate category --baseline                  compare the model with TF-IDF + linear SVM
  aisle worker                                        keep the vectors up to date with the rows
  aisle db stop                                       stop the database (your data stay)"""
    )


def _train(database: Database, task: str, **options: Any) -> None:
    from aisle.trainers import run

    run.train(trainers.task_of(task), database.url, trainers.options_of(task)(**options), _say)


def _refuse_a_real_shop(connection: Connection) -> None:
    """Raise InvalidArgumentError if the database has anything that the demo did not make.

    The demo drops the schema `shop` and deploys models. A shell's DATABASE_URL may name a real shop.
    """
    others = connection.execute(db.read("queries/not_of_the_demo"), {"mark": MARK}).fetchall()
    if db.fetch_value(connection, "select to_regclass('aisle._attachments') is not null"):
        others += connection.execute(
            "select format('the attached table %s, which no longer exists', a.relation::oid) from aisle._attachments a "
            "where not exists (select from pg_class c where c.oid = a.relation)"
        ).fetchall()
    if others:
        raise errors.InvalidArgumentError(
            f"This database has objects that the demo did not make: {', '.join(name for (name,) in others)}.",
            hint="Use a database for the demo alone: aisle --database-url … demo. Without --database-url the demo uses "
            "AISLE_DATABASE_URL, else DATABASE_URL, else the embedded database.",
        )


def _mark(connection: Connection) -> None:
    connection.execute(compose.SQL("comment on schema shop is {}").format(compose.Literal(MARK)))


def _generated_shop(connection: Connection) -> str:
    from aisle.demo import shop

    _say("Generating a shop: products, customers, orders, visits …")
    with connection.transaction():
        shop.load(connection, shop.generate())
        _mark(connection)
    return "shop.products"


def _attach_history(connection: Connection) -> None:
    attached = {kind for (kind,) in connection.execute("select kind from aisle._attachments").fetchall()}
    if "interactions" not in attached:
        connection.execute(
            "select aisle.attach_interactions('shop.visits', 'customer_id', 'product_id', 'visited_at', "
            "context_columns => array['meal_time'], time_zone => 'Asia/Seoul')"
        )
    if "orders" not in attached:
        connection.execute(
            "select aisle.attach_orders('shop.orders', 'id', 'product_id', 'customer_id', 'ordered_at', "
            "lines => 'shop.order_items', line_order_id => 'order_id', quantity => 'quantity', "
            "time_zone => 'Asia/Seoul')"
        )


def _is_live(connection: Connection, task: str) -> bool:
    query = "select from aisle.models where task = %s and state = 'live'"
    return connection.execute(query, (task,)).fetchone() is not None


def _own_table(connection: Connection, file: Path, key: str) -> str:
    from aisle.files import import_export

    _say(f"Importing {file} …")
    with connection.transaction():
        connection.execute("create schema shop")
        _mark(connection)
        result = import_export.import_table(connection, file, "shop.products", key=key)
    for note in ((f"Read {result.said}.",) if result.said else ()) + result.notes:
        _say(note)
    return "shop.products"


def _reset(connection: Connection) -> None:
    with connection.transaction():
        connection.execute("select aisle.detach(kind) from aisle._attachments")
        connection.execute("delete from aisle._deployments")
        connection.execute("select aisle._drop_model(model_id) from aisle._models")
        connection.execute("drop schema if exists shop cascade")


def _show(connection: Connection, *, generated: bool) -> None:
    """Print queries and their answers."""
    _ask(
        connection,
        "select task, attached, live_model, metrics ->> 'accuracy' as accuracy, vectors, pending from aisle.status",
    )
    first = connection.execute(
        "select item_id, name from aisle._items where name is not null order by id limit 1"
    ).fetchone()
    if first is None:
        raise errors.TrainingDataError("The table is empty.")
    item_id, name = first
    if generated:
        name = "에르고루루 옴니 브리즈 아기띠"
    _ask(connection, "select * from aisle.predict_category({name})", name=name)
    _ask(connection, "select * from aisle.predict_category({name}, level => 1)", name=name)
    _ask(connection, "select * from aisle.item_category({item_id})", item_id=item_id)
    if generated:
        _ask(
            connection,
            "insert into shop.products (name, manufacturer) "
            "values ('맑은숲 유기농 현미 누룽지 2kg', '맑은숲') returning id",
        )
        _ask(
            connection,
            "select c.* from aisle.item_category((select max(id) from shop.products)) c  "
            "-- the insert stored its vector",
        )
        _ask(
            connection,
            "select p.name, c.category, c.confidence\n"
            "from shop.products p, lateral aisle.predict_category(p.name, p.manufacturer, 1) c\n"
            "where p.category is null order by c.confidence desc limit 3",
        )
        _ask(
            connection,
            "select s.rank, p.name, s.score from aisle.search_items('강아지 간식', 3) s\n"
            "join shop.products p on p.id::text = s.item_id order by s.rank",
        )
    _ask(connection, "select reason, count(*) from aisle.category_review group by reason")
    if generated:
        _ask(
            connection,
            "select r.rank, p.name, r.score from aisle.recommend('user-42', 3) r\n"
            "join shop.products p on p.id::text = r.item_id order by r.rank",
        )
        _ask(
            connection,
            "insert into shop.visits (customer_id, product_id, meal_time)\n"
            "select 'newcomer', id, 'lunch' from shop.products where category like '%고양이%' order by id limit 2\n"
            "returning product_id",
        )
        _ask(
            connection,
            "select r.rank, p.name, p.category from aisle.recommend('newcomer', 3) r  -- uses the new visits\n"
            "join shop.products p on p.id::text = r.item_id order by r.rank",
        )
        _ask(
            connection,
            "select b.rank, p.name, b.probability, b.bought_before from aisle.next_basket('user-42', 3) b\n"
            "join shop.products p on p.id::text = b.item_id order by b.rank",
        )
        _ask(
            connection,
            "select b.rank, p.name from aisle.complete_basket(array[{item_id}], 3) b\n"
            "join shop.products p on p.id::text = b.item_id order by b.rank",
            item_id=item_id,
        )


def _ask(connection: Connection, template: LiteralString, **values: str) -> None:
    literals = {name: compose.Literal(value) for name, value in values.items()}
    query = compose.SQL(template).format(**literals).as_string(connection)
    click.echo()
    click.secho(f"{query};", fg="cyan")
    print_query(connection, query, as_json=False)


def _say(line: str) -> None:
    click.echo(line, err=True)
