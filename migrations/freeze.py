"""A step of a release: freezes the SQL of the newest revision, so that it never changes again.

    python -m aisle.migrations.freeze

copies the files of `sql/` that differ from the newest frozen copies to `frozen/REVISION/`, and lists them with their
checksums in `frozen/REVISION/SHA256SUMS`, in creation order. Users' databases are built from these files, so a later
change needs a new revision. Copy `script.py.mako` for it.
"""

import hashlib
import sys

from aisle import db, migrations
from aisle.db import errors
from aisle.migrations import objects


def freeze() -> list[str]:
    """Freeze the newest revision; return the names of its files.

    Raises InvalidArgumentError if it is frozen already.
    """
    revision = migrations.head()
    if objects.is_frozen(revision):
        raise errors.InvalidArgumentError(
            f"Revision {revision} was released.", hint="Put the change into a new revision: migrations/versions/"
        )
    texts = objects.shipped(revision)
    if revision == migrations.revisions()[0]:
        # Later revisions change tables by statements of their own.
        texts = {"tables": db.read("tables"), **texts, "drop_tables": db.read("drop_tables")}
    for name, text in texts.items():
        path = objects.frozen(name, revision)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    lines = (f"{hashlib.sha256(text.encode()).hexdigest()}  {name}.sql\n" for name, text in texts.items())
    (objects.FROZEN / revision / objects.SUMS).write_text("".join(lines), encoding="utf-8")
    return list(texts)


if __name__ == "__main__":
    try:
        print("\n".join(freeze()) or "nothing changed in sql/")
    except errors.AisleError as error:
        sys.exit(f"{error} {error.hint or ''}")
