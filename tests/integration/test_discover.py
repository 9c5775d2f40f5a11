"""`aisle discover` on shops of several shapes: what it proposes attaches, and is about the right rows."""

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
import pytest

from aisle import db, migrations
from aisle.db import errors
from aisle.discovery import discover
from aisle.files import declaring, shop_file
from tests.conftest import Server

ROOT = Path(__file__).parents[2]
SHOPS = ROOT / "tests/shops"
EXAMPLES = ROOT / "examples/shops"
RENEW = "Renew it: load tests/shops/{0}.sql into a database {0}, then: aisle discover -o examples/shops/{0}/shop.toml"
MOST_LINES = 8  # that an owner should have to read, comments aside


@pytest.fixture(scope="module", params=sorted(path.stem for path in SHOPS.glob("*.sql")))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def url(server: Server, name: str) -> Iterator[str]:
    """A shop that Aisle has not seen yet."""
    with server.database() as url:
        with psycopg.connect(url) as connection:
            connection.execute(cast(LiteralString, (SHOPS / f"{name}.sql").read_text(encoding="utf-8")))
        yield url


@pytest.fixture(scope="module")
def proposal(url: str) -> str:
    return discover.shop_file(url)


@pytest.fixture(scope="module")
def attached(url: str, proposal: str) -> Iterator[tuple[db.Connection, list[declaring.Change]]]:
    """The shop after the proposal was attached as it is."""
    migrations.migrate(url)
    with db.connect(url) as connection:
        yield connection, declaring.declare(connection, shop_file.parse(proposal))


def leaves(values: dict[str, Any]) -> int:
    return sum(leaves(value) if isinstance(value, dict) else 1 for value in values.values())


def value(connection: db.Connection, query: str) -> Any:
    return db.fetch_value(connection, query)


# What the shop's makers would say, on the shop's own tables: products on sale, and lines that were bought and kept.
ELIGIBLE = {
    "medusa": "select count(*) from product p where status = 'published' and deleted_at is null and exists (select from"
    " product_variant v join product_variant_inventory_item j on j.variant_id = v.id join inventory_level l on"
    " l.inventory_item_id = j.inventory_item_id where v.product_id = p.id and l.stocked_quantity > 0)",
    "odoo": "select count(*) from product_template t where active and sale_ok and exists (select from product_product p"
    " join stock_quant q on q.product_id = p.id where p.product_tmpl_id = t.id and q.quantity > 0)",
    "prisma": 'select count(*) from "Product" p where "isActive" and exists (select from "ProductVariant" v where'
    ' v."productId" = p.id and not v."isOutOfStock")',
    "spree": "select count(*) from spree_products p where deleted_at is null and exists (select from spree_variants v"
    " join spree_stock_items s on s.variant_id = v.id where v.product_id = p.id and s.count_on_hand > 0)",
    "opencart": "select count(*) from oc_product where status = 1 and quantity > 0",
    "django": "select count(*) from catalog_product where is_active and stock_quantity > 0",
    "korean": """select count(*) from "상품" where "판매여부" = 'Y' and "삭제여부" = 'N' and "재고수량" > 0""",
    "northwind": "select count(*) from products where discontinued = 0 and units_in_stock > 0",
}
BOUGHT = {
    "medusa": 'select i.customer_id, p.id from "order" i join order_item l on l.order_id = i.id join order_line_item o'
    " on o.id = l.item_id join product p on p.id = o.product_id where i.status = 'completed' and"
    " l.return_received_quantity = 0",
    "odoo": "select o.partner_id::text, t.id::text from sale_order o join sale_order_line l on l.order_id = o.id join"
    " product_product p on p.id = l.product_id join product_template t on t.id = p.product_tmpl_id where"
    " o.state = 'sale'",
    "prisma": 'select o."customerId", l."productId" from "Order" o join "OrderItem" l on l."orderId" = o.id where'
    " o.status = 'delivered'",
    "spree": "select o.user_id::text, v.product_id::text from spree_orders o join spree_line_items l on"
    " l.order_id = o.id join spree_variants v on v.id = l.variant_id where o.state = 'complete'",
    "opencart": "select o.customer_id::text, l.product_id::text from oc_order o join oc_order_product l using"
    " (order_id) where o.order_status_id = 5",
    "django": "select o.customer_id::text, l.product_id::text from orders_order o join orders_orderitem l on"
    " l.order_id = o.id where o.status = 'delivered'",
    "korean": 'select o."회원번호"::text, l."상품코드" from "주문" o join "주문상세" l using ("주문번호") where'
    " o.\"주문상태\" = '배송완료'",
    "northwind": "select o.customer_id, l.product_id::text from orders o join order_details l using (order_id)",
}
# The category's column, or the table of categories; and where the name of the manufacturer is.
CATEGORY = {
    "medusa": "public.product_category", "odoo": "public.product_category", "prisma": 'public."Category"',
    "spree": "public.spree_taxons", "django": "public.catalog_category", "korean": 'public."상품분류"',
    "northwind": "public.categories",
}  # fmt: skip


def test_a_proposal_writes_nothing(server: Server) -> None:
    with server.database() as url:
        with psycopg.connect(url) as connection:
            connection.execute(cast(LiteralString, (SHOPS / "django.sql").read_text(encoding="utf-8")))
            connection.execute(
                f"alter database {connection.info.dbname} set default_transaction_read_only = on".encode()
            )
        assert "[items]" in discover.shop_file(url)


def test_the_items_are_the_products(name: str, attached: tuple[db.Connection, list[declaring.Change]]) -> None:
    connection, changes = attached
    assert [(change.kind, change.action) for change in changes] == [("items", "attach"), ("orders", "attach")]
    assert value(connection, "select bool_and(name is not null) from aisle._items")
    # All these shops call their products so, in one language.
    assert value(connection, "select bool_and(name ~ '^(Thing of sort|물건) [0-9]+$') from aisle._items")


def test_what_is_not_on_sale_is_not_eligible(
    name: str, url: str, attached: tuple[db.Connection, list[declaring.Change]]
) -> None:
    with psycopg.connect(url) as shop:
        wanted = shop.execute(cast(LiteralString, ELIGIBLE[name])).fetchone()
    found = value(attached[0], "select count(*) from aisle._items where is_eligible")
    assert (found,) == wanted
    assert found < value(attached[0], "select count(*) from aisle._items"), (
        "Some products of this shop are not on sale."
    )


def test_orders_are_of_the_products_that_were_bought(
    name: str, url: str, attached: tuple[db.Connection, list[declaring.Change]]
) -> None:
    with psycopg.connect(url) as shop:
        wanted = shop.execute(cast(LiteralString, BOUGHT[name])).fetchall()
    found = attached[0].execute("select user_id::text, item_id from aisle._orders").fetchall()
    assert sorted(found) == sorted(wanted)


def test_categories_and_manufacturers_are_found(
    name: str, proposal: str, attached: tuple[db.Connection, list[declaring.Change]]
) -> None:
    declared = tomllib.loads(proposal)
    if name in CATEGORY:
        assert declared["categories"]["table"] == CATEGORY[name]
    else:
        assert value(attached[0], "select bool_and(category ~ '^Shelf') from aisle._items")
    if name != "prisma":
        makers = value(attached[0], "select count(distinct manufacturer) from aisle._items")
        assert makers > 5
        pattern = "^(Maker|Company|회사) "
        assert value(attached[0], f"select bool_and(manufacturer ~ '{pattern}') from aisle._items")


def test_categories_that_are_softly_deleted_are_left_out(name: str, proposal: str) -> None:
    if name == "medusa":
        assert tomllib.loads(proposal)["categories"]["where"] == "deleted_at is null"


def test_attaching_it_again_changes_nothing(
    proposal: str, attached: tuple[db.Connection, list[declaring.Change]]
) -> None:
    again = declaring.declare(attached[0], shop_file.parse(proposal))
    assert [(change.kind, change.action) for change in again] == [("items", "nothing"), ("orders", "nothing")]


def test_what_is_declared_is_a_shop_file_again(
    url: str, attached: tuple[db.Connection, list[declaring.Change]]
) -> None:
    program = Path(sys.executable).with_name("aisle")
    printed = subprocess.run(
        [program, "--database-url", url, "attachments"], capture_output=True, text=True, check=True
    ).stdout
    again = declaring.declare(attached[0], shop_file.parse(printed))
    assert not any(change.is_change for change in again), printed


@pytest.mark.parametrize("shop", ["medusa", "odoo", "prisma"])
def test_the_examples_are_what_is_proposed(server: Server, shop: str) -> None:
    with server.database() as url:
        with psycopg.connect(url) as connection:
            connection.execute(cast(LiteralString, (SHOPS / f"{shop}.sql").read_text(encoding="utf-8")))
        proposed = discover.shop_file(url)
    example = (EXAMPLES / shop / "shop.toml").read_text(encoding="utf-8")
    assert tomllib.loads(example) == tomllib.loads(proposed), RENEW.format(shop)
    assert leaves(tomllib.loads(example)) <= MOST_LINES
    for line in proposed.splitlines():
        assert not line.startswith("# ") or line in example or "database" in line or "Nothing has" in line, line


def test_lines_of_variants_with_ids_of_products_are_never_joined_directly(server: Server) -> None:
    """Odoo's trap: both ids are small numbers, and nearly all of them exist in both tables."""
    with server.database() as url:
        with psycopg.connect(url) as connection:
            connection.execute(cast(LiteralString, (SHOPS / "odoo.sql").read_text(encoding="utf-8")))
            connection.execute("alter table sale_order_line drop constraint sale_order_line_product_id_fkey")
        proposed = tomllib.loads(discover.shop_file(url))
    assert "product_tmpl_id as item_id" in proposed["orders"]["query"]


def test_a_database_without_products(empty_url: str) -> None:
    with pytest.raises(errors.NoShopFoundError, match="No table of this database looks like products"):
        discover.shop_file(empty_url)
    with psycopg.connect(empty_url) as connection:
        connection.execute("create table measurements (id int primary key, at timestamptz, celsius real)")
    with pytest.raises(errors.NoShopFoundError, match="the schema public"):
        discover.shop_file(empty_url, "public")


def test_an_empty_shop_is_read_by_its_names(server: Server) -> None:
    with server.database() as url:
        with psycopg.connect(url) as connection:
            text = (SHOPS / "django.sql").read_text(encoding="utf-8").partition("\ninsert")[0]
            connection.execute(cast(LiteralString, text))
        proposed = tomllib.loads(discover.shop_file(url))
    assert "public.catalog_product" in proposed["items"].get("table", proposed["items"].get("query"))
    assert "public.orders_orderitem" in proposed["orders"]["query"]


def test_only_events_become_interactions(empty_url: str) -> None:
    with psycopg.connect(empty_url) as connection:
        connection.execute(
            "create table venues (venue_id int primary key, name text, genre text);"
            " create table rooms (room_id int primary key, venue_id int references venues);"
            " create table visits (visit_id int primary key, member_id int, room_id int references rooms,"
            " visited_at timestamptz, rating int);"
            " insert into venues select n, 'Place ' || n, 'Genre ' || n % 5 from generate_series(1, 60) n;"
            " insert into rooms select n, 1 + n % 60 from generate_series(1, 120) n;"
            " insert into visits select n, n % 20, 1 + n % 120, now() - n * interval '1 hour', n % 5"
            " from generate_series(1, 300) n"
        )
    assert tomllib.loads(discover.shop_file(empty_url)) == {
        "items": {"table": "public.venues", "id": "venue_id", "category": "genre"},
        "interactions": {
            "table": "public.visits",
            "user": "member_id",
            "item": "room_id",
            "item_via": "public.rooms(room_id → venue_id)",
            "at": "visited_at",
            "rating": "rating",
        },
    }


def test_row_security_hides_a_table_and_the_file_says_so(server: Server) -> None:
    with server.database() as url:
        with psycopg.connect(url) as connection:
            connection.execute(cast(LiteralString, (SHOPS / "django.sql").read_text(encoding="utf-8")))
            role = f"{connection.info.dbname}_reader"
            connection.execute(
                f"create role {role} login; grant select on all tables in schema public to {role};"
                " alter table reviews_review enable row level security".encode()
            )
        as_reader = psycopg.conninfo.make_conninfo(url, user=role)
        try:
            assert "Could not be read: public.reviews_review." in discover.shop_file(as_reader)
        finally:
            with psycopg.connect(url) as connection:
                connection.execute(f"drop owned by {role}; drop role {role}".encode())


def test_orders_that_are_partitioned_by_date_are_found(empty_url: str) -> None:
    """Their key holds the date, too; lines refer to both columns."""
    with psycopg.connect(empty_url) as connection:
        connection.execute(
            "create table products (id int primary key, name text);"
            " create table orders (id int, customer_id int, ordered_at timestamptz, primary key (id, ordered_at))"
            " partition by range (ordered_at);"
            " create table orders_all partition of orders default;"
            " create table order_items (order_id int, ordered_at timestamptz, product_id int references products,"
            " quantity int, foreign key (order_id, ordered_at) references orders);"
            " insert into products select n, 'tea ' || n from generate_series(1, 90) n;"
            " insert into orders select n, n % 20, now() - n * interval '1 hour' from generate_series(1, 200) n;"
            " insert into order_items select o.id, o.ordered_at, 1 + o.id % 90, 1 from orders o"
        )
    found = tomllib.loads(discover.shop_file(empty_url))["orders"]
    assert (found.get("table"), found.get("lines")) == ("public.orders", "public.order_items") or "orders" in found[
        "query"
    ]
