"""Shops of three shapes, with rows that models can learn from, and what happens in such shops.

Product 13 lies on shelf 2, of department 3. A buyer of two orders has bought it in order a, and product 25 in order b.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString, cast

import psycopg

ROOT = Path(__file__).parents[1]
SHOPS = ROOT / "tests/shops"
EXAMPLES = ROOT / "examples/shops"


def key(kind: str, number: int) -> str:
    """Return a text key as `pg_temp.key` of the made rows does."""
    digest = hashlib.md5(f"{kind}{number}".encode(), usedforsecurity=False).hexdigest()
    return f"{kind}_01{digest[:24].upper()}"


@dataclass(frozen=True)
class Shape:
    """Names and statements of one shape. `$p13` and `$c2` in a statement are the keys of product 13 and shelf 2."""

    name: str
    kinds: tuple[str, str, str] | None  # prefixes of the keys of products, shelves and variants; None: numbers
    buyer: str
    buy: str  # orders a and b
    new_product: str  # 9001, with the words of shelf 2
    not_sold: dict[str, str]  # changes after which product 13 must not be sold
    sellable_again: str  # a new variant of product 13 in stock, after `not_sold["out of stock"]`
    most_not_sold: str
    not_bought: dict[str, str]  # changes after which product 13 was not bought
    bought: dict[str, str]  # changes after which product 37 was bought as well
    text: dict[str, str]  # changes of what models read of product 13
    rename_shelf: str
    delete_shelf: str
    move_product: str  # product 13 to shelf 3
    move_shelf: str | None = None  # to department 1
    no_text: list[str] = field(default_factory=list)  # changes of what no model reads

    def product(self, number: int) -> str:
        return str(number) if self.kinds is None else key(self.kinds[0], number)

    def shelf(self, number: int) -> str:
        return str(5 + number) if self.kinds is None else key(self.kinds[1], number)

    def variant(self, number: int) -> str:
        """Return the key of the first variant of a product."""
        return str(2 * number - 1) if self.kinds is None else key(self.kinds[2], 2 * number)

    def __call__(self, statement: str) -> str:
        """Write keys instead of `$p13`, `$c2` and `$v13`."""
        for letter, of in (("p", self.product), ("c", self.shelf), ("v", self.variant)):
            for number in (13, 25, 37, 2, 3):
                statement = statement.replace(f"${letter}{number}", of(number))
        return statement


MEDUSA = Shape(
    name="medusa",
    kinds=("prod", "pcat", "variant"),
    buyer="buyer",
    buy="""
        insert into "order" (id, customer_id, status, currency_code, created_at) values
            ('order_a', 'buyer', 'completed', 'eur', '2026-05-01'),
            ('order_b', 'buyer', 'completed', 'eur', '2026-05-09');
        insert into order_line_item (id, title, product_id, variant_id, unit_price) values
            ('ordli_a', 'Thing', '$p13', '$v13', 1), ('ordli_b', 'Thing', '$p25', '$v25', 1),
            ('ordli_c', 'Thing', '$p37', '$v37', 1);
        insert into order_item (id, order_id, version, item_id, quantity) values
            ('orditem_a', 'order_a', 1, 'ordli_a', 1), ('orditem_b', 'order_b', 1, 'ordli_b', 1)""",
    new_product="""insert into product (id, title, handle, status)
        values ('9001', 'roast coffee bean', 'h', 'published')""",
    not_sold={
        "unpublished": "update product set status = 'draft' where id = '$p13'",
        "deleted softly": "update product set deleted_at = now() where id = '$p13'",
        "out of stock": """update inventory_level set stocked_quantity = 0 where inventory_item_id in (
            select i.inventory_item_id
            from product_variant_inventory_item i join product_variant v on v.id = i.variant_id
            where v.product_id = '$p13')""",
        "reserved": """update inventory_level set reserved_quantity = stocked_quantity where inventory_item_id in (
            select i.inventory_item_id
            from product_variant_inventory_item i join product_variant v on v.id = i.variant_id
            where v.product_id = '$p13')""",
    },
    sellable_again="""
        insert into product_variant (id, title, product_id) values ('variant_new', 'size 3', '$p13');
        insert into product_variant_inventory_item values ('pvitem_new', 'variant_new', 'iitem_new');
        insert into inventory_level values ('ilev_new', 'iitem_new', 'sloc_1', 5)""",
    most_not_sold="update product set status = 'proposed' where handle !~ '[05]$'",
    not_bought={
        "cancelled": "update \"order\" set status = 'canceled' where id = 'order_a'",
        "a cart again": "update \"order\" set status = 'draft' where id = 'order_a'",
        "refunded": "update order_item set return_received_quantity = 1 where id = 'orditem_a'",
        "edited": """insert into order_item (id, order_id, version, item_id, quantity)
            values ('orditem_2', 'order_a', 2, 'ordli_c', 1); update "order" set version = 2 where id = 'order_a'""",
        "quantity 0": "update order_item set quantity = 0 where id = 'orditem_a'",
        "line deleted": "update order_item set deleted_at = now() where id = 'orditem_a'",
    },
    bought={
        "line added": """insert into order_item (id, order_id, version, item_id, quantity)
            values ('orditem_c', 'order_b', 1, 'ordli_c', 1)""",
        "edited": """insert into order_item (id, order_id, version, item_id, quantity) values
            ('orditem_2', 'order_b', 2, 'ordli_c', 1), ('orditem_3', 'order_b', 2, 'ordli_b', 1);
            update "order" set version = 2 where id = 'order_b'""",
    },
    text={
        "renamed": "update product set title = 'rye bread loaf' where id = '$p13'",
        "brand renamed": """update product_type set value = 'Zoe'
            where id = (select type_id from product where id = '$p13')""",
        "brand changed": "update product set type_id = null where id = '$p13'",
    },
    rename_shelf="update product_category set name = 'Renamed' where id = '$c2'",
    move_shelf="""update product_category set parent_category_id = (
        select id from product_category where name = 'Department 1') where id = '$c2'""",
    delete_shelf="""delete from product_category_product where product_category_id = '$c2';
        delete from product_category where id = '$c2'""",
    move_product="update product_category_product set product_category_id = '$c3' where product_id = '$p13'",
    no_text=["update product set handle = handle || 'x', updated_at = now(), metadata = '{}'"],
)

ODOO = Shape(
    name="odoo",
    kinds=None,
    buyer="999",
    buy="""
        insert into sale_order (id, name, partner_id, state, date_order) values
            (90001, 'a', 999, 'sale', '2026-05-01'), (90002, 'b', 999, 'sale', '2026-05-09');
        insert into sale_order_line (id, order_id, product_id, name, product_uom_qty, price_unit) values
            (90001, 90001, $v13, 'Thing', 1, 1), (90002, 90002, $v25, 'Thing', 1, 1)""",
    new_product="""insert into product_template (id, name, sale_ok, active)
        values (9001, '{"en_US": "roast coffee bean"}', true, true)""",
    not_sold={
        "unpublished": "update product_template set sale_ok = false where id = $p13",
        "archived": "update product_template set active = false where id = $p13",
        "variants archived": "update product_product set active = false where product_tmpl_id = $p13",
        "out of stock": """update stock_quant set quantity = 0
            where product_id in (select id from product_product where product_tmpl_id = $p13)""",
    },
    sellable_again="""
        insert into product_product (id, product_tmpl_id, active) values (90001, $p13, true);
        insert into stock_quant (product_id, location_id, quantity) values (90001, 8, 5)""",
    most_not_sold="update product_template set sale_ok = false where id % 5 <> 0",
    not_bought={
        "cancelled": "update sale_order set state = 'cancel' where id = 90001",
        "a cart again": "update sale_order set state = 'draft' where id = 90001",
        "quantity 0": "update sale_order_line set product_uom_qty = 0 where id = 90001",
        "line deleted": "delete from sale_order_line where id = 90001",
    },
    bought={
        "line added": """insert into sale_order_line (order_id, product_id, name, product_uom_qty, price_unit)
            values (90002, $v37, 'Thing', 1, 1)""",
        "a variant added and bought": """
            insert into product_product (id, product_tmpl_id, active) values (90001, $p37, true);
            insert into sale_order_line (order_id, product_id, name, product_uom_qty, price_unit)
            values (90002, 90001, 'Thing', 1, 1)""",
    },
    text={
        "renamed": """update product_template set name = '{"en_US": "rye bread loaf"}' where id = $p13""",
        "brand renamed": """update product_attribute_value set name = '{"en_US": "Zoe"}' where id = (
            select r.product_attribute_value_id
            from product_attribute_value_product_template_attribute_line_rel r
            join product_template_attribute_line l on l.id = r.product_template_attribute_line_id
            where l.product_tmpl_id = $p13)""",
        "brand changed": "delete from product_template_attribute_line where product_tmpl_id = $p13",
    },
    rename_shelf="update product_category set name = 'Renamed' where id = $c2",
    move_shelf="""update product_category set parent_id = (
        select id from product_category where name = 'Department 1') where id = $c2""",
    delete_shelf="""update product_template set categ_id = 1 where categ_id = $c2;
        delete from product_category where id = $c2""",
    move_product="update product_template set categ_id = $c3 where id = $p13",
    no_text=[
        "update product_template set write_date = now(), list_price = 2",
        "update product_product set barcode = 'x'",
    ],
)

PRISMA = Shape(
    name="prisma",
    kinds=("p", "c", "v"),
    buyer="buyer",
    buy="""
        insert into "Order" (id, "customerId", "agentId", status, "totalAmount", "createdAt") values
            ('a', 'buyer', 'a1', 'delivered', 1, '2026-05-01'), ('b', 'buyer', 'a1', 'delivered', 1, '2026-05-09');
        insert into "OrderItem" values
            ('a', 'a', '$v13', '$p13', 'Thing', 1, 1, 1), ('b', 'b', '$v25', '$p25', 'Thing', 1, 1, 1)""",
    new_product="""insert into "Product" (id, name, "categoryId") values ('9001', 'roast coffee bean', '$c3')""",
    not_sold={
        "unpublished": """update "Product" set "isActive" = false where id = '$p13'""",
        "out of stock": """update "ProductVariant" set "isOutOfStock" = true where "productId" = '$p13'""",
        "variants archived": """update "ProductVariant" set "isActive" = false where "productId" = '$p13'""",
    },
    sellable_again="""insert into "ProductVariant" values ('new', '$p13', 1, '3 kg', 1, 5, false)""",
    most_not_sold="""update "Product" set "isActive" = false where name !~ '[a-d]$'""",
    not_bought={
        "cancelled": """update "Order" set status = 'cancelled' where id = 'a'""",
        "a cart again": """update "Order" set status = 'pending' where id = 'a'""",
        "quantity 0": """update "OrderItem" set quantity = 0 where id = 'a'""",
        "line deleted": """delete from "OrderItem" where id = 'a'""",
    },
    bought={
        "line added": """insert into "OrderItem" values ('c', 'b', '$v37', '$p37', 'Thing', 1, 1, 1)""",
        "a variant added and bought": """insert into "ProductVariant" values ('new', '$p37', 1, '3 kg', 1, 5, false);
            insert into "OrderItem" values ('c', 'b', 'new', '$p37', 'Thing', 1, 1, 1)""",
    },
    text={"renamed": """update "Product" set name = 'rye bread loaf' where id = '$p13'"""},
    rename_shelf="""update "Category" set name = 'Renamed' where id = '$c2'""",
    delete_shelf="""update "Product" set "categoryId" = '$c3' where "categoryId" = '$c2';
        delete from "Category" where id = '$c2'""",
    move_product="""update "Product" set "categoryId" = '$c3' where id = '$p13'""",
    no_text=[
        """update "Product" set "updatedAt" = now(), images = '{}'""",
        """update "ProductVariant" set price = 2""",
    ],
)

SHAPES = {shape.name: shape for shape in (MEDUSA, ODOO, PRISMA)}


def create_shop(url: str, shape: Shape) -> None:
    """Create the tables of a shape in an empty database, and fill them."""
    tables = (SHOPS / f"{shape.name}.sql").read_text(encoding="utf-8").partition("\ninsert")[0]
    rows = [(SHOPS / "rows" / name).read_text(encoding="utf-8") for name in ("made.sql", f"{shape.name}.sql")]
    with psycopg.connect(url) as connection:
        for text in (tables, *rows, shape(shape.buy), "analyze"):
            connection.execute(cast(LiteralString, text))
