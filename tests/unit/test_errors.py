"""aisle.db.errors: one class an SQLSTATE, and every error says something."""

import inspect
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aisle import db
from aisle.db import errors
from tests.conftest import Shop

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, errors.AisleError)]
BY_SQLSTATE = {cls.sqlstate: cls for cls in CLASSES if cls.sqlstate}


def test_an_sqlstate_stands_for_one_class() -> None:
    states = [cls.sqlstate for cls in CLASSES if cls.sqlstate]
    assert len(states) == len(set(states)), f"An SQLSTATE is used twice: {sorted(states)}"
    assert all(re.fullmatch(r"AIS\d\d", state) for state in states)


@pytest.mark.parametrize("cls", CLASSES)
def test_the_docstring_is_the_message(cls: type[errors.AisleError]) -> None:
    assert str(cls()) == inspect.getdoc(cls)
    assert str(cls("Another.")) == "Another."
    assert cls(hint="Do this.").hint == "Do this."
    assert cls().hint == cls.hint, "An instance without a hint of its own has its class's."


def test_every_sqlstate_that_sql_raises_has_a_class() -> None:
    folder = Path(str(db.__file__)).parent
    raised = {state for path in folder.rglob("*.sql") for state in re.findall(r"AIS\d\d", path.read_text("utf-8"))}
    assert raised <= set(BY_SQLSTATE), f"Add a class for {raised - set(BY_SQLSTATE)} to db/errors.py."


def raised_by(shop: Shop, statement: str, *parameters: Any) -> psycopg.Error:
    with pytest.raises(psycopg.Error) as caught:
        shop.execute(statement, parameters or None)
    return caught.value


@pytest.mark.parametrize("sqlstate", sorted(BY_SQLSTATE))
def test_translate_by_sqlstate(shop: Shop, sqlstate: str) -> None:
    error = raised_by(shop, f"do $$ begin raise 'Oh, %', 'no' using errcode = '{sqlstate}', hint = 'Go on.'; end $$")
    translated = errors.translate(error)
    assert type(translated) is BY_SQLSTATE[sqlstate]
    assert str(translated) == "Oh, no"
    assert translated.hint == "Go on."


def test_translate_keeps_the_hint_of_the_class_where_the_database_gave_none(shop: Shop) -> None:
    translated = errors.translate(raised_by(shop, "do $$ begin raise 'Oh' using errcode = 'AIS01'; end $$"))
    assert translated.hint == errors.NoLiveModelError.hint


def test_translate_an_error_of_another_kind(shop: Shop) -> None:
    translated = errors.translate(raised_by(shop, "select 1 / 0"))
    assert type(translated) is errors.AisleError
    assert str(translated) == "The database says: division by zero."


@pytest.mark.parametrize(
    ("statement", "hint"),
    [
        ("create schema mine", "grant create on database"),
        ("select aisle.attach_items('shop.products', 'id', 'name')", "a table's owner"),
        ("table aisle._models", "aisle grant"),
    ],
)
def test_translate_a_lack_of_rights_into_what_helps(shop: Shop, statement: str, hint: str) -> None:
    shop.create()
    role = f"errors_{shop.connection.info.backend_pid}"
    shop.execute(
        f"create role {role}; grant usage on schema aisle, shop to {role}; "
        f"grant select, insert on aisle._attachments to {role}; "
        f"grant execute on all functions in schema aisle to {role}; set role {role}"
    )
    try:
        translated = errors.translate(raised_by(shop, statement))
    finally:
        shop.execute(f"reset role; drop owned by {role}; drop role {role}")
    assert hint in str(translated.hint)


def test_translate_an_error_without_diagnostics() -> None:
    closed = errors.translate(psycopg.OperationalError("the connection\nis closed"))
    assert str(closed) == "The database says: the connection is closed."
    assert str(errors.translate(psycopg.OperationalError())) == "The database says: OperationalError."


@pytest.mark.parametrize("statement", ["select * from aisle.status", "select aisle.deploy(1)", "table aisle._models"])
def test_translate_before_the_first_migration(empty_url: str, statement: str) -> None:
    with db.connect(empty_url) as connection:
        translated = errors.translate(raised_by(Shop(connection), statement))
    assert isinstance(translated, errors.SchemaVersionError), f"{statement} must say that the schema is missing."
    assert "aisle migrate" in str(translated.hint)


@pytest.mark.parametrize(
    ("sqlstate", "setting"),
    [("57014", "statement_timeout"), ("57P05", "idle_session_timeout"), ("25P04", "transaction_timeout")],
)
def test_an_error_names_the_limit_that_ended_a_command(connection: db.Connection, sqlstate: str, setting: str) -> None:
    with pytest.raises(psycopg.Error) as raised:
        connection.execute(f"do $$ begin raise 'ended' using errcode = '{sqlstate}'; end $$".encode())
    assert setting in str(errors.translate(raised.value).hint)
