"""For developers, after every change in `sql/`: freeze it into the newest revision, and renew what tests compare with.

    python -m aisle.migrations 0001

writes `frozen/0001/`, that revision's lines of `frozen/SHA256SUMS`, and `schema.sql`, the whole schema as pg_dump sees
it, so that a review shows what changed. Older revisions are history: somebody's database is built from them.
"""

import argparse
import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

from aisle import db, migrations
from aisle.db import embedded, errors
from aisle.migrations import FROZEN, SCHEMA

SUMS = FROZEN / "SHA256SUMS"
SCHEMA_DUMP = Path(__file__).parent / "schema.sql"


def freeze(revision: str) -> list[str]:
    """Copy each object that differs from its newest frozen copy to `frozen/REVISION/`; return what changed there.

    Raises InvalidArgumentError for any but the newest revision.
    """
    if revision != migrations.head():
        raise errors.InvalidArgumentError(
            f"{revision} is not the newest revision: {migrations.head()}.",
            hint="An older revision never changes; add a new file to migrations/versions.",
        )
    changed = []
    for name in db.CREATION_ORDER:
        newest, text = migrations.newest_frozen(name), db.read(name)
        if newest is None or newest.read_text(encoding="utf-8") != text:
            target = FROZEN / revision / f"{name}.sql"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            changed.append(name)
    for path in (FROZEN / revision).glob("*/*.sql"):
        name = f"{path.parent.name}/{path.stem}"
        if name not in db.CREATION_ORDER:  # renamed or removed before it was ever released
            path.unlink()
            changed.append(name)
    others = [line for line in recorded_sums() if not line.split("  ")[1].startswith(f"{revision}/")]
    SUMS.write_text("".join(f"{line}\n" for line in sorted(others + sums(revision), key=_path_of)), encoding="utf-8")
    return changed


def sums(revision: str) -> list[str]:
    """Return a line for each frozen file of a revision, as `sha256sum` prints it."""
    return [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(FROZEN).as_posix()}"
        for path in sorted((FROZEN / revision).rglob("*.sql"))
    ]


def recorded_sums() -> list[str]:
    """Return the lines of `frozen/SHA256SUMS`."""
    return SUMS.read_text(encoding="utf-8").splitlines() if SUMS.exists() else []


def dump(url: str, pg_dump: Path) -> str:
    """Return the schema of a database as SQL, without what differs between servers: versions, tokens and settings."""
    command: list[str | Path] = [pg_dump, "--schema-only", f"--schema={SCHEMA}", "--no-owner", f"--dbname={url}"]
    text = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout  # noqa: S603
    text = re.sub(r"^(--.*|SET .*|SELECT pg_catalog\.set_config.*|\\(un)?restrict .*)?\n", "", text, flags=re.MULTILINE)
    return re.sub(r";\n(?=[A-Z])", ";\n\n", text)


def _path_of(line: str) -> str:
    return line.split("  ")[1]


def _dump_of_new_server() -> str:
    with tempfile.TemporaryDirectory(prefix="aisle-", ignore_cleanup_errors=True) as home:
        os.environ["AISLE_HOME"] = home
        url = embedded.start()
        try:
            migrations.migrate(url)
            return dump(url, embedded.program("pg_dump"))
        finally:
            embedded.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m aisle.migrations", description="Freeze sql/ into the newest revision."
    )
    parser.add_argument("revision")
    try:
        print("\n".join(freeze(parser.parse_args().revision)) or "nothing changed in sql/")
        SCHEMA_DUMP.write_text(_dump_of_new_server(), encoding="utf-8")
    except errors.AisleError as error:
        parser.exit(1, f"{error} {error.hint or ''}\n")
