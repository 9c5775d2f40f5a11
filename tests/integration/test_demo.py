"""`aisle demo` stays away from what it did not make."""

import pytest
from click.testing import CliRunner

from aisle.cli import aisle
from aisle.sql import errors
from tests.conftest import Shop


@pytest.mark.parametrize("options", [[], ["--reset"]])
@pytest.mark.parametrize("is_attached", [False, True])
def test_a_real_shop_is_refused(shop: Shop, database_url: str, options: list[str], is_attached: bool) -> None:
    shop.create()
    shop.insert("tea")
    if is_attached:
        shop.execute("alter schema shop rename to store")
        shop.attach("store.products")
    done = CliRunner().invoke(aisle, ["--database-url", database_url, "demo", *options])
    assert isinstance(done.exception, errors.InvalidArgumentError)
    assert ("store.products" if is_attached else "the schema shop") in str(done.exception)
    table = "store.products" if is_attached else "shop.products"
    assert shop.execute(f"select name from {table}".encode()).fetchall() == [("tea",)]
