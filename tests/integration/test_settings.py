"""Whatever settings a database or a role has, everything works, and says the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

pytest.importorskip("implicit")

from tests.conftest import Server
from tests.integration import life

# Those of a row hold at once: none of them stands in for another.
SETTINGS = [
    {
        "array_nulls": "off", "bytea_output": "escape", "client_encoding": "EUC_KR", "datestyle": "German",
        "extra_float_digits": "-10", "intervalstyle": "iso_8601", "quote_all_identifiers": "on",
        "standard_conforming_strings": "off", "timezone": "Asia/Kathmandu",
    },
    {"datestyle": "SQL, DMY", "intervalstyle": "postgres_verbose", "search_path": "''"},
    {
        "constraint_exclusion": "on", "enable_indexscan": "off", "jit_above_cost": "0",
        "plan_cache_mode": "force_generic_plan",
    },
    {"enable_seqscan": "off", "row_security": "off", "search_path": "shop"},
    {"default_transaction_isolation": "repeatable read", "idle_session_timeout": "500ms"},
    {"default_transaction_isolation": "serializable", "idle_in_transaction_session_timeout": "300ms"},
    {"default_transaction_read_only": "on"},
    {"lock_timeout": "1ms", "transaction_timeout": "500ms"},
    {"statement_timeout": "150ms"},
    {"statement_timeout": "2s"},
]  # fmt: skip
# Of a role, all at once that do not stand in for each other.
OF_A_ROLE = {name: value for settings in SETTINGS for name, value in settings.items()} | {"client_encoding": "LATIN1"}


def live_through(url: str, folder: Path) -> dict[str, Any]:
    """Live a shop's whole life in a migrated database; return the answers that an application gets in the end."""
    life.attach_and_train(url)
    life.write(url)
    life.update_vectors(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select set_config('statement_timeout', '0', false)")  # the machine may be busy
        said = life.answers(connection)
        for view in life.VIEWS:
            connection.execute(f"select v::text from aisle.{view} v").fetchall()
        left = connection.execute("select sum(pending), sum(failures) from aisle.status").fetchall()
    assert left == [(0, 0)]
    life.look(url, folder)
    return said


@pytest.fixture
def shop_url(server: Server, template: str) -> Iterator[str]:
    with server.database(f"template {template} strategy file_copy") as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(life.SHOP)
        yield url


@pytest.fixture(scope="module")
def plain(server: Server, template: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The answers where nothing is set."""
    with server.database(f"template {template} strategy file_copy") as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(life.SHOP)
        return live_through(url, tmp_path_factory.mktemp("plain"))


@pytest.mark.trap(42)
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: " ".join(settings))
def test_settings_of_the_database_change_nothing(
    shop_url: str, plain: dict[str, Any], tmp_path: Path, settings: dict[str, str]
) -> None:
    with psycopg.connect(shop_url, autocommit=True) as connection:
        for name, value in settings.items():
            if name != "transaction_timeout" or connection.info.server_version >= 170000:
                quoted = value if name == "search_path" else f"'{value}'"
                connection.execute(f"alter database {connection.info.dbname} set {name} = {quoted}")
    assert live_through(shop_url, tmp_path) == plain


@pytest.mark.trap(42)
def test_settings_of_a_role_change_nothing(
    shop_url: str, server: Server, plain: dict[str, Any], tmp_path: Path
) -> None:
    server.execute("create role odd superuser login")
    try:
        for name, value in OF_A_ROLE.items():
            if name != "transaction_timeout":
                quoted = value if name == "search_path" else f"'{value}'"
                server.execute(f"alter role odd set {name} = {quoted}")
        assert live_through(make_conninfo(shop_url, user="odd"), tmp_path) == plain
    finally:
        with psycopg.connect(shop_url, autocommit=True) as connection:
            connection.execute("reassign owned by odd to postgres")
        server.execute("drop role odd")
