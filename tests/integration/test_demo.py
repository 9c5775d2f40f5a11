"""`aisle demo` stays away from what it did not make."""

import pytest
from click.testing import CliRunner

from aisle import db
from aisle.cli import aisle
from aisle.db import errors
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


def test_a_shop_whose_tables_are_being_replaced_is_refused(shop: Shop, database_url: str) -> None:
    shop.create()
    shop.attach()
    shop.execute("drop schema shop cascade")
    done = CliRunner().invoke(aisle, ["--database-url", database_url, "demo", "--reset"])
    assert isinstance(done.exception, errors.InvalidArgumentError)
    assert "which no longer exists" in str(done.exception)
    assert shop.value("select count(*) from aisle._attachments") == 1


def test_the_database_that_the_shell_names_is_not_filled(empty_url: str) -> None:
    with db.connect(empty_url) as connection:
        connection.execute("create table public.goods ()")
        done = CliRunner().invoke(aisle, ["demo"], env={"DATABASE_URL": empty_url})
        assert isinstance(done.exception, errors.InvalidArgumentError)
        assert "goods" in str(done.exception)
        assert db.fetch_value(connection, "select to_regnamespace('aisle') is null"), "It must not even be migrated."
