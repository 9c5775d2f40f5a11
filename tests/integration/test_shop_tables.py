"""What migrations and dumps do to the attached tables of shops of three shapes."""

import contextlib
import functools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from aisle import db, migrations
from aisle.db import doctor
from aisle.embedder.customer_vectors import CustomerEmbedder
from aisle.embedder.item_factors import FactorEmbedder
from aisle.embedder.item_vectors import ItemEmbedder
from aisle.embedder.pipeline import drain
from tests.conftest import Server, Shop, load_tiny_basket, load_tiny_model, load_tiny_recommender
from tests.integration.life import run
from tests.shapes import EXAMPLES, SHAPES, Shape, create_shop


@dataclass(frozen=True)
class Names:
    """The tables and columns of a shape that the statements below change."""

    items: str
    name: str
    key: str  # type of the items' id
    category: str
    orders: str
    user: str
    lines: str
    text: str  # a value of the column of the name


NAMES = {
    "medusa": Names("product", "title", "text", "type_id", '"order"', "customer_id", "order_item", "'{}'"),
    "odoo": Names(
        "product_template", "name", "int", "categ_id", "sale_order", "partner_id", "sale_order_line",
        """'{{"en_US": "{}"}}'""",
    ),
    "prisma": Names('"Product"', "name", "text", '"categoryId"', '"Order"', '"customerId"', '"OrderItem"', "'{}'"),
}  # fmt: skip


class Attached(Shop):
    shape: Shape
    names: Names
    url: str
    file: str

    def problems(self) -> list[str]:
        return [
            f"{f.found} -> {f.remedy}"
            for f in doctor.examine(self.url, migrations.head())
            if f.remedy and f.check not in ("disk", "clock", "shop's index")
        ]

    def kept(self) -> list[Any]:
        return self.execute(
            "select item_id, embedding::text, embedded_at from aisle.item_vectors order by 1"
        ).fetchall()

    def waiting(self) -> set[str]:
        self.collect()
        return {i for (i,) in self.execute("select id from aisle._embedding_jobs where task = 'category'")}

    def write(self, items: str | None = None, name: str | None = None, key: str = "id") -> None:
        text = self.names.text.format("green tea")
        self.execute(
            f"update {items or self.names.items} set {name or self.names.name} = {text}"
            f" where {key} = '{self.shape.product(13)}'"
        )


@pytest.fixture(scope="module")
def prepared(server: Server) -> Iterator[Any]:
    with contextlib.ExitStack() as stack:

        @functools.cache
        def prepare(shape: str) -> str:
            url = stack.enter_context(server.database())
            create_shop(url, SHAPES[shape])
            migrations.migrate(url)
            run(url, f"attach -f {EXAMPLES / shape / 'shop.toml'}")
            of = SHAPES[shape]
            with db.connect(url) as connection:
                load_tiny_model(connection)
                connection.execute(
                    "update aisle._models set declaration ="
                    " (select declaration from aisle._attachments where kind = 'items')"
                )
                items = {of.product(n): (None, (1, n / 600), (0, 1)) for n in range(1, 601)}
                load_tiny_recommender(connection, items)  # type: ignore[arg-type]
                load_tiny_basket(connection, {of.product(n): (1, n / 600) for n in range(1, 601)}, {})
            run(url, "embed")
            return url

        yield prepare


@pytest.fixture
def shop(server: Server, prepared: Any, request: pytest.FixtureRequest) -> Iterator[Attached]:
    shape = request.param
    template = psycopg.conninfo.conninfo_to_dict(prepared(shape))["dbname"]
    with server.database(f"template {template} strategy file_copy") as url, db.connect(url) as connection:
        connection.execute("reset search_path")
        attached = Attached(connection)
        attached.shape, attached.names, attached.url = SHAPES[shape], NAMES[shape], url
        attached.file = str(EXAMPLES / shape / "shop.toml")
        assert attached.problems() == []
        yield attached


of_all = pytest.mark.parametrize("shop", list(SHAPES), indirect=True)
CH = {
 "add": ("alter table {items} add column further text default 'x'", {}),
 "rename name": ("alter table {items} rename {name} to renamed", {"name": "renamed"}),
 "rename cat": ("alter table {items} rename {category} to renamed", {}),
 "rename table": ("alter table {items} rename to renamed", {"items": "renamed"}),
 "set schema": ("create schema other; alter table {items} set schema other", {"items": "other.{items}"}),
 "rename lines": ("alter table {lines} rename to renamed", {}),
 "rename orders": ("alter table {orders} rename to renamed", {}),
 "rename id": ("alter table {items} rename id to renamed", {"key": "renamed"}),
 "rename user": ("alter table {orders} rename {user} to renamed", {}),
 "disable": ("alter table {items} disable trigger all; alter table {items} enable trigger all", {}),
 "truncate": ("truncate {items} cascade", {}),
 "swap": ("create table fresh (like {items} including all); insert into fresh select * from {items}; alter table {items} rename to old; alter table fresh rename to {items}", {}),
 "drop": ("drop table {items} cascade", {}),
 "dropcol": ("alter table {items} drop column {name} cascade", {}),
}
@of_all
@pytest.mark.parametrize("what", CH)
@pytest.mark.parametrize("pause", [False, True])
def test_explore(shop: Attached, what: str, pause: bool) -> None:
    out = []
    kept = shop.kept()
    n = {k: getattr(shop.names, k) for k in ("items", "name", "category", "orders", "user", "lines")}
    sql, then = CH[what]
    try:
        if pause:
            shop.execute("select aisle.pause('items'), aisle.pause('orders')")
        shop.execute(sql.format(**n))
        if pause:
            for k in ("items", "orders"):
                try:
                    shop.execute(f"select aisle.resume('{k}')")
                except psycopg.Error as e:
                    out.append(f"RESUME {k}: {e.diag.message_primary} | HINT {e.diag.message_hint}")
    except psycopg.Error as e:
        out.append(f"DDL: {e}")
    out.append(f"problems: {shop.problems()}")
    try:
        shop.write(**{k: v.format(**n) for k, v in then.items()})
        out.append(f"waiting {len(shop.waiting())}")
        drain(shop.connection, [ItemEmbedder(), FactorEmbedder(), CustomerEmbedder()])
    except psycopg.Error as e:
        out.append(f"WRITE: {e}")
    new = shop.kept()
    out.append(f"kept {sum(a == b for a, b in zip(sorted(kept), sorted(new)))} of {len(kept)}")
    out.append("new: " + str(set(new) - set(kept))[:200] if len(set(new) - set(kept)) < 3 else "many")
    for q in ("next_basket('%s', 3)" % shop.shape.buyer, "recommend('%s', 3)" % shop.shape.buyer):
        try:
            out.append(f"{q[:9]} {len(shop.execute('select * from aisle.' + q).fetchall())}")
        except psycopg.Error as e:
            out.append(f"{q[:9]}: {e.diag.message_primary} | HINT {e.diag.message_hint}")
    w = shop.execute("select warning from aisle.warnings").fetchall()
    print(f"\n#### {shop.shape.name} | {what} | pause={pause}\n   " + "\n   ".join(out + [str(w)]))
