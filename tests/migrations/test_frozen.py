"""The frozen copies: the newest equals what people edit, and the old ones never change."""

from pathlib import Path

import pytest

from aisle import db, migrations
from aisle.db import errors
from aisle.migrations import FROZEN, __main__

FREEZE = f"Run: python -m aisle.migrations {migrations.head()}"


@pytest.mark.parametrize("name", db.CREATION_ORDER)
def test_the_newest_copy_equals_the_current_text(name: str) -> None:
    newest = migrations.newest_frozen(name)
    assert newest is not None, f"sql/{name}.sql is in no revision. {FREEZE}"
    assert newest.read_text(encoding="utf-8") == db.read(name), f"sql/{name}.sql is newer than {newest}. {FREEZE}"


def test_frozen_files_never_change() -> None:
    recorded = set(__main__.recorded_sums())
    actual = {
        line for revision in sorted(FROZEN.iterdir()) if revision.is_dir() for line in __main__.sums(revision.name)
    }
    changed = {line.split("  ")[1] for line in recorded ^ actual}
    newest = {path for path in changed if path.startswith(f"{migrations.head()}/")}
    assert changed == newest, (
        f"{sorted(changed - newest)} belong to an older revision: restore them, and add a revision."
    )
    assert not newest, f"{sorted(newest)} are not as frozen/SHA256SUMS says. {FREEZE}"


def test_every_frozen_object_is_still_known() -> None:
    frozen = {f"{path.parent.name}/{path.stem}" for path in (FROZEN / migrations.head()).glob("*/*.sql")}
    assert frozen <= set(db.CREATION_ORDER), f"A removed object is still frozen. {FREEZE}"


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of frozen files to try things on: it is empty, and the newest revision is the real one."""
    monkeypatch.setattr(migrations, "FROZEN", tmp_path)
    monkeypatch.setattr(__main__, "FROZEN", tmp_path)
    monkeypatch.setattr(__main__, "SUMS", tmp_path / "SHA256SUMS")
    return tmp_path


def test_freeze_copies_what_changed_and_nothing_else(copy: Path) -> None:
    head = migrations.head()
    older = copy / "0000"
    for name in db.CREATION_ORDER:
        (older / name).parent.mkdir(parents=True, exist_ok=True)
        (older / f"{name}.sql").write_text(db.read(name), encoding="utf-8")
    (older / "functions/deploy.sql").write_text("an older text")
    __main__.SUMS.write_text("0  0000/tables.sql\n1  " + head + "/functions/gone.sql\n")
    (copy / head / "views").mkdir(parents=True)
    (copy / head / "views/renamed.sql").write_text("")
    (copy / head / "tables.sql").write_text("by hand")

    assert __main__.freeze(head) == ["functions/deploy", "views/renamed"]

    assert sorted(p.relative_to(copy / head).as_posix() for p in (copy / head).rglob("*.sql")) == [
        "functions/deploy.sql",
        "tables.sql",
    ]
    assert (older / "functions/deploy.sql").read_text() == "an older text"
    lines = __main__.recorded_sums()
    assert lines[0] == "0  0000/tables.sql", "The lines of older revisions are kept as they are."
    assert lines[1:] == __main__.sums(head)
    assert __main__.freeze(head) == []


def test_only_the_newest_revision_can_be_frozen(copy: Path) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="is not the newest"):
        __main__.freeze("0000")
    assert list(copy.iterdir()) == []
