"""Shops of three shapes, attached by their files: with models of their rows, and with tiny ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aisle import db, migrations
from aisle.db import doctor
from aisle.embedder.customer_vectors import CustomerEmbedder
from aisle.embedder.item_factors import FactorEmbedder
from aisle.embedder.item_vectors import ItemEmbedder
from aisle.embedder.pipeline import drain
from tests.conftest import Shop, load_tiny_basket, load_tiny_model, load_tiny_recommender
from tests.integration.life import run
from tests.shapes import EXAMPLES, SHAPES, Shape, create_shop

WAITING = (
    "select (select sum(pending) from aisle.freshness) + (select count(*) from aisle._changes where topic = 'orders')"
)


def work(shop: Shop) -> None:
    """Do what a worker does."""
    drain(shop.connection, [ItemEmbedder(), FactorEmbedder(), CustomerEmbedder()])


class Live(Shop):
    """A shop of a shape with live models, and questions about it."""

    shape: Shape
    url: str

    def change(self, statement: str) -> None:
        self.execute(self.shape(statement))

    def answer(self, question: str) -> list[str]:
        return [item for (item,) in self.execute(f"select item_id from aisle.{question} order by rank")]

    def answers(self, k: int) -> dict[str, list[str]]:
        """Ask each function that answers with items, about a product and a customer."""
        product, buyer = self.shape.product(25), self.shape.buyer
        return {
            question: self.answer(question)
            for question in (
                f"similar_items('{product}', {k})", f"similar_items('{product}', {k}, space => 'basket')",
                f"search_items('roast coffee bean', {k})", f"recommend('{buyer}', {k}, exclude_seen => false)",
                f"recommend('nobody', {k})", f"next_basket('{buyer}', {k})", f"complete_basket('{{{product}}}', {k})",
                f"recommend('{buyer}', {k}, category => '{self.shape.shelf(2)}', exclude_seen => false)",
            )
        }  # fmt: skip

    def bought(self) -> set[str]:
        """Return what the buyer bought, as two functions see it."""
        buyer = self.shape.buyer
        baskets = {
            i for (i,) in self.execute("select item_id from aisle.next_basket(%s, 1000) where bought_before", [buyer])
        }
        not_new = set(self.answer(f"recommend('{buyer}', 600, exclude_seen => false)")) - set(
            self.answer(f"recommend('{buyer}', 600)")
        )
        assert baskets == not_new
        return baskets

    def stale(self) -> int:
        """Return how many items have vectors of another text."""
        return int(
            self.value(
                "select count(*) from aisle._items i left join aisle.item_vectors v using (item_id)"
                " where v.content_hash is distinct from aisle._content_hash(i.name, i.manufacturer, i.details)"
            )
        )

    def work(self) -> None:
        work(self)
        assert self.value(WAITING) == 0


@dataclass(frozen=True)
class Names:
    """The tables and columns of a shape that the statements below change."""

    items: str
    name: str
    category: str
    orders: str
    user: str
    lines: str
    text: str  # a value of the column of the name
    other_type: str  # that the column of the name can have
    wider_key: str  # a type that the items' key can have


NAMES = {
    "medusa": Names(
        "product", "title", "type_id", '"order"', "customer_id", "order_item", "'{}'", "varchar(500)", "varchar(90)"
    ),
    "odoo": Names(
        "product_template", "name", "categ_id", "sale_order", "partner_id", "sale_order_line",
        """'{{"en_US": "{}"}}'""", "json", "bigint",
    ),
    "prisma": Names(
        '"Product"', "name", '"categoryId"', '"Order"', '"customerId"', '"OrderItem"', "'{}'", "varchar(500)",
        "varchar(90)",
    ),
}  # fmt: skip


class Attached(Shop):
    shape: Shape
    names: Names
    url: str
    file: Path

    def run(self, statement: str) -> None:
        """Run a statement with this shop's names in braces."""
        self.execute(statement.format(**vars(self.names)))

    def problems(self) -> list[str]:
        return [
            f"{f.found} -> {f.remedy}"
            for f in doctor.examine(self.url, migrations.head())
            # The tiny model knows three categories of its own.
            if f.remedy and f.check not in ("disk", "clock", "shop's index", "category model")
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


def attach_with_tiny_models(url: str, shape: str) -> None:
    """Create a shop in an empty database, attach it, and load three models that fit in the head."""
    of = SHAPES[shape]
    create_shop(url, of)
    migrations.migrate(url)
    run(url, f"attach -f {EXAMPLES / shape / 'shop.toml'}")
    with db.connect(url) as connection:
        load_tiny_model(connection)
        connection.execute(
            "update aisle._models set declaration = (select declaration from aisle._attachments where kind = 'items')"
        )
        vectors = {of.product(n): (1, n / 600) for n in range(1, 601)}
        load_tiny_recommender(connection, {item: (None, vector, (0, 1)) for item, vector in vectors.items()})
        load_tiny_basket(connection, vectors, {})
    run(url, "embed")
