"""Frozen revisions: what a release freezes never changes, and a later revision replaces, adds and takes back."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from aisle import db, migrations
from aisle.db import errors
from aisle.migrations import freeze, objects, run

FIRST = migrations.revisions()[0]


def test_head_is_alembics_head() -> None:
    scripts = ScriptDirectory.from_config(run.configuration())
    assert migrations.head() == scripts.get_current_head()
    assert migrations.revisions() == sorted(r.revision for r in scripts.walk_revisions())


@pytest.mark.parametrize("revision", [r for r in migrations.revisions() if objects.is_frozen(r)])
def test_frozen_files_never_change(revision: str) -> None:
    folder = objects.FROZEN / revision
    lines = (folder / objects.SUMS).read_text(encoding="utf-8").splitlines()
    recorded = {name: checksum for checksum, name in (line.split("  ") for line in lines)}
    actual = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.sql")
    }
    assert actual == recorded, f"Revision {revision} was released: restore its files, and add a revision."


# A made-up release 0001, and a made-up revision 0002 after it


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Release the present `sql/` as the first revision, in a folder to try things in; return `frozen/`."""
    monkeypatch.setattr(objects, "FROZEN", tmp_path / "frozen")
    monkeypatch.setattr(migrations, "VERSIONS", tmp_path / "versions")
    (tmp_path / "versions").mkdir()
    shutil.copy(Path(str(migrations.__file__)).parent / "versions/0001_house.py", tmp_path / "versions")
    configuration = run.configuration

    def with_these_versions(*arguments: object) -> Config:
        config = configuration(*arguments)  # type: ignore[arg-type]
        config.set_main_option("version_locations", str(tmp_path / "versions"))
        config.set_main_option("path_separator", "newline")
        return config

    monkeypatch.setattr(run, "configuration", with_these_versions)
    freeze.freeze()
    return tmp_path / "frozen"


ADD_0002 = """
from alembic import op
from aisle.migrations import objects

revision, down_revision = "0002", "0001"


def upgrade():
    objects.upgrade_objects(op, revision)


def downgrade():
    objects.downgrade_objects(op, revision, ancestors=["0001"])
"""
ADDED = """
create or replace function aisle._added() returns integer language plpgsql stable
as $function$ begin return aisle._further(1) + 1; end $function$;
"""
REPLACED = """
create or replace function aisle._further(reltuples real) returns integer language sql immutable parallel safe
begin atomic select 41; end;
"""


@pytest.fixture
def edited(released: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, str]]:
    """Add revision 0002, which is not released: one function is edited, and one is new."""
    (migrations.VERSIONS / "0002_toy.py").write_text(ADD_0002)
    now = objects.newest()
    now = {
        **{name: REPLACED if name == "functions/_further" else text for name, text in now.items()},
        "functions/_added": ADDED,
    }
    monkeypatch.setattr(objects, "newest", lambda: now)
    return lambda: now


def answer(url: str) -> tuple[object, object]:
    with psycopg.connect(url) as connection:
        added = connection.execute("select to_regproc('aisle._added')::text").fetchone()
        further = connection.execute("select aisle._further(1)").fetchone()
    assert added is not None
    assert further is not None
    return added[0], further[0]


def test_a_release_freezes_all_that_the_revision_ships(released: Path) -> None:
    files = {p.relative_to(released / FIRST).as_posix() for p in (released / FIRST).rglob("*.sql")}
    assert files == {f"{name}.sql" for name in ("tables", "drop_tables", *objects.newest())}
    assert list(objects.shipped(FIRST)) == list(objects.newest()), "SHA256SUMS keeps the order of creation."
    assert (released / FIRST / "functions/_now.sql").read_text("utf-8") == objects.newest()["functions/_now"]
    test_frozen_files_never_change(FIRST)


def test_a_released_revision_cannot_be_frozen_again(released: Path) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="was released"):
        freeze.freeze()


def test_a_revision_ships_what_differs_from_the_frozen_copies(edited: Callable[[], dict[str, str]]) -> None:
    assert objects.shipped("0002") == {"functions/_further": REPLACED, "functions/_added": ADDED}
    assert freeze.freeze() == ["functions/_further", "functions/_added"]
    assert objects.shipped("0002") == {"functions/_further": REPLACED, "functions/_added": ADDED}
    test_frozen_files_never_change("0002")


@pytest.mark.parametrize("is_frozen", [True, False])
def test_up_and_down(edited: Callable[[], dict[str, str]], is_frozen: bool, empty_url: str) -> None:
    if is_frozen:
        freeze.freeze()
    migrations.migrate(empty_url, "0001")
    assert answer(empty_url) == (None, 0)
    migrations.migrate(empty_url)
    with db.connect(empty_url) as connection:
        assert migrations.current(connection) == "0002"
    assert answer(empty_url) == ("aisle._added", 41)
    migrations.migrate(empty_url, "0001")
    assert answer(empty_url) == (None, 0)
    migrations.migrate(empty_url)
    assert answer(empty_url) == ("aisle._added", 41)
    migrations.migrate(empty_url, "base")


def test_a_released_revision_does_not_see_what_changed_since(
    edited: Callable[[], dict[str, str]], empty_url: str
) -> None:
    edited()["functions/_now"] = "select 1/0"
    migrations.migrate(empty_url, "0001")
    assert answer(empty_url) == (None, 0)
