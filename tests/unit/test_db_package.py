"""aisle.db: reading SQL files, and finding the database."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from aisle import db
from aisle.db import errors
from aisle.migrations import objects

SQL = db.SQL
HEAVY = {"torch", "implicit", "transformers", "sentence_transformers", "sklearn", "pyarrow", "datasets"}


ORDER = objects.creation_order()


def test_every_file_is_in_the_creation_order_once() -> None:
    folders = ("functions", "triggers", "views")
    files = sorted(
        path.relative_to(SQL).with_suffix("").as_posix() for folder in folders for path in (SQL / folder).rglob("*.sql")
    )
    assert sorted(name for name in ORDER if "/" in name) == files, "sql/creation_order.txt and the files differ."
    assert len({name.rpartition("/")[2] for name in ORDER}) == len(ORDER), "A name is unique, whatever its folder."


@pytest.mark.parametrize("name", [name for name in ORDER if "/" in name])
def test_a_file_creates_what_its_name_says(name: str) -> None:
    object_name = name.rpartition("/")[2]
    kind = "view" if name.startswith("views/") else "function"
    created = f"create or replace {kind} aisle.{object_name}"
    lines = [line for line in db.read(name).splitlines() if line.startswith("create ")]
    assert lines, f"sql/{name}.sql creates nothing."
    for line in lines:
        assert line.startswith((f"{created}(", f"{created} ")), f"sql/{name}.sql must only `{created}`, not: {line}"


@pytest.mark.parametrize("name", ORDER)
def test_volatility_is_always_written(name: str) -> None:
    text = db.read(name)
    written = sum(text.count(f"\nlanguage {language} ") for language in ("sql", "plpgsql"))
    assert written == text.count("create or replace function"), (
        f"sql/{name}.sql: write `language … stable` on its own line."
    )
    for line in text.splitlines():
        if line.startswith("language "):
            assert line.split()[2] in ("stable", "volatile", "immutable"), f"sql/{name}.sql: no volatility in: {line}"


def test_read_returns_the_text_of_a_file() -> None:
    assert db.read("functions/models/deploy") == (SQL / "functions/models/deploy.sql").read_text(encoding="utf-8")


def test_read_of_an_unknown_file() -> None:
    with pytest.raises(FileNotFoundError):
        db.read("functions/no_such_function")


def test_the_given_url_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AISLE_DATABASE_URL", "postgresql://ours/a")
    monkeypatch.setenv("DATABASE_URL", "postgresql://everybodys/b")
    assert db.database_url("postgresql://given/c") == "postgresql://given/c"
    assert db.database_url() == "postgresql://ours/a"
    monkeypatch.delenv("AISLE_DATABASE_URL")
    assert db.database_url() == "postgresql://everybodys/b"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AISLE_DATABASE_URL", "")
    monkeypatch.setenv("DATABASE_URL", "postgresql://everybodys/b")
    assert db.database_url() == "postgresql://everybodys/b"


def test_without_any_url_the_embedded_server_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    from aisle.db import embedded

    monkeypatch.setattr(embedded, "start", lambda: "postgresql://embedded/aisle")
    assert db.database_url() == "postgresql://embedded/aisle"


@pytest.mark.parametrize("url", ["postgres://u@h/shop", "postgresql+psycopg://u@h/shop", "postgresql://u@h/shop"])
def test_other_spellings_of_a_url_are_welcome(url: str) -> None:
    assert db.database_url(url) == "postgresql://u@h/shop"


def test_an_unreachable_server_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(errors.ConnectionFailedError, match="Cannot connect") as caught:
        db.connect(f"postgresql://nobody@/nowhere?host={tmp_path}")
    assert "--database-url" in str(caught.value.hint)
    assert isinstance(caught.value.__cause__, psycopg.Error), "The cause must be chained with `raise … from error`."


@pytest.mark.parametrize(
    ("said", "is_for_good"),
    [
        ('FATAL:  password authentication failed for user "shop"', True),
        ("FATAL:  SCRAM authentication failed", True),
        ("fe_sendauth: no password supplied", True),
        ('FATAL:  no pg_hba.conf entry for host "::1", user "shop", database "shop", no encryption', True),
        ('FATAL:  role "shop" does not exist', True),
        ('FATAL:  database "shop" does not exist', True),
        ("server does not support SSL, but SSL was required", True),
        ("FATAL:  the database system is starting up", False),
        ("FATAL:  the database system is shutting down", False),
        ("FATAL:  the database system is in recovery mode", False),
        ("FATAL:  sorry, too many clients already", False),
        ("Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?", False),
        ('connection to server on socket "/tmp/.s.PGSQL.5432" failed: No such file or directory', False),
        ("server closed the connection unexpectedly", False),
        ("connection timeout expired", False),
    ],
)
def test_it_is_known_whether_it_helps_to_wait(said: str, is_for_good: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise psycopg.OperationalError(f"connection failed: {said}")

    monkeypatch.setattr(psycopg, "connect", fail)
    with pytest.raises(errors.ConnectionFailedError) as caught:
        db.connect("")
    assert isinstance(caught.value, errors.WrongAddressError) == is_for_good


def modules_after(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=os.sep)
    return set(result.stdout.split())


@pytest.mark.parametrize("module", ["aisle.db", "aisle.db.embedded", "aisle.migrations.run", "aisle.cli"])
def test_import_is_light(module: str) -> None:
    loaded = modules_after(f"import {module}") & HEAVY
    assert not loaded, f"`import {module}` loads {loaded}: import them inside the functions that need them."


def test_help_waits_for_no_library_that_it_does_not_need() -> None:
    loaded = modules_after("import aisle.cli") & {"alembic", "numpy", "rich", "sqlalchemy"}
    assert not loaded, f"`aisle --help` loads {loaded}: import them inside the commands that need them."


def test_a_command_that_connects_does_not_load_what_only_migrations_need(database_url: str) -> None:
    loaded = modules_after(f"""
from aisle import cli
try:
    sys.argv = ["aisle", "--database-url", {database_url!r}, "status"]
    cli.main()
except SystemExit:
    pass
""")
    assert "aisle.migrations" in loaded, "The command compares the schema's revision with its own."
    assert not loaded & {"alembic", "sqlalchemy", "numpy"}
