"""What the labels of the attached items mean: paths themselves, or ids of the shop's own categories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aisle.db import Connection, errors


@dataclass(frozen=True)
class Labels:
    """The paths of labels."""

    separator: str  # between the steps of a path, and at the end of a key
    tree: Mapping[str, Sequence[str]] | None = None  # an id → the ids from the root to it; None: a label is a path

    def path(self, label: str) -> list[str]:
        """Return the steps from the root; those of a tree are ids, which no renaming changes."""
        return label.split(self.separator) if self.tree is None else list(self.tree.get(label, [label]))

    def key(self, path: Sequence[str]) -> str:
        """Return the key of a path in `item_factors`, as `_draft_item_factors` writes it."""
        return self.separator.join([*(path if self.tree is None else path[-1:]), ""])


def read_labels(connection: Connection) -> Labels:
    """Read how the attached items are labelled; raises NotAttachedError."""
    attached = connection.execute(
        "select category_separator, aisle._has_tree() from aisle._attachments where kind = 'items'"
    ).fetchone()
    if attached is None:
        raise errors.NotAttachedError
    separator, has_tree = attached
    if not has_tree:
        return Labels(separator)
    return Labels(separator, dict(connection.execute("select category, ids from aisle._category_names()").fetchall()))
