"""Makes a shop file so: compares it with what is attached, and attaches what differs, in one transaction."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql as compose
from psycopg.types.json import Jsonb

from aisle import db
from aisle.db import Connection, locks
from aisle.files.shop_file import KINDS, ShopFile, arguments

# What the SQL functions take for an argument that is not given.
DEFAULTS: dict[str, dict[str, Any]] = {
    "items": {"id": "id", "name": "name", "category_separator": " > ", "draft_rows": 100},
    "interactions": {"user_id": "user_id", "item_id": "item_id", "at": "created_at"},
    "orders": {"order_id": "order_id", "item_id": "item_id"},
}
# A migration took the view away, or gave the name of a table to another.
IS_DAMAGED = "select to_regclass('aisle._' || %(kind)s) is null or aisle._swapped_tables(%(kind)s) <> '{}'"
JSON_ARGUMENTS = {"watch", "categories"}


@dataclass(frozen=True)
class Change:
    """What a shop file means for one kind of table."""

    kind: str
    action: str  # attach, change, resume, nothing, or `left alone`: attached and not in the file
    differences: tuple[tuple[str, Any, Any], ...] = ()  # argument, declared before, declared now; None for nothing
    said: str = field(default="")  # what the SQL function said

    @property
    def is_change(self) -> bool:
        """Whether the database would be, or was, changed."""
        return self.action in ("attach", "change", "resume")


def declare(
    connection: Connection, file: ShopFile, *, check: bool = False, accept_changes: bool = False
) -> list[Change]:
    """Attach what a shop file declares and return what that changed; with `check`, leave everything as it was.

    All or nothing changes. Raises AisleError as the SQL functions do, and BusyError if the shop's tables stay locked.
    """
    made: list[Change] = []

    def action() -> None:
        made.clear()
        made.extend(_declare(connection, file, accept_changes))
        if check:
            raise psycopg.Rollback

    locks.giving_way(connection, action)
    return made


def declared(connection: Connection) -> dict[str, tuple[dict[str, Any], bool]]:
    """Return the declaration of each attached kind, and whether it is paused."""
    rows = connection.execute("select kind, declaration, is_paused from aisle._attachments").fetchall()
    found = {kind: (declaration, is_paused) for kind, declaration, is_paused in rows}
    return {kind: found[kind] for kind in KINDS if kind in found}


def _declare(connection: Connection, file: ShopFile, accept_changes: bool) -> list[Change]:
    attached = declared(connection)
    made = []
    for kind in KINDS:
        if kind not in file.kinds:
            made += [Change(kind, "left alone")] if kind in attached else []
            continue
        values = file.kinds[kind]
        wanted = arguments(kind, values, _columns(connection, kind, values))
        before, is_paused = attached.get(kind, ({}, False))
        differences = tuple(_differences(kind, before, wanted, _time_zone(connection)))
        if kind in attached and not differences:
            resumes = is_paused or db.fetch_value(connection, IS_DAMAGED, {"kind": kind})
            said = _call(connection, "select aisle.resume(%s)", [kind]) if resumes else ""
            made.append(Change(kind, "resume" if resumes else "nothing", said=said))
            continue
        if kind in attached and not is_paused:
            _call(connection, "select aisle.pause(%s)", [kind])  # keeps the vectors
        said = _attach(
            connection, kind, wanted | ({"accept_changes": True} if accept_changes and kind == "items" else {})
        )
        made.append(Change(kind, "change" if kind in attached else "attach", differences, said))
    return made + _declare_write_back(connection, file.write_back)


def write_back(connection: Connection) -> dict[str, Any] | None:
    """Return where predicted categories are written; None if they are not."""
    row = connection.execute("select settings from aisle._write_back").fetchone()
    return row[0] if row else None


def _declare_write_back(connection: Connection, wanted: Mapping[str, Any] | None) -> list[Change]:
    before = write_back(connection)
    if wanted is None:
        return [Change("write_back", "left alone")] if before else []
    names = dict.fromkeys([*(before or {}), *wanted])
    differences = tuple(
        (name, (before or {}).get(name), wanted.get(name))
        for name in names
        if (before or {}).get(name) != wanted.get(name)
    )
    if not differences:
        return [Change("write_back", "nothing")]
    said = _call(connection, "select aisle.set_write_back(%s)", [Jsonb(dict(wanted))])
    return [Change("write_back", "change" if before else "attach", differences, said)]


def _columns(connection: Connection, kind: str, values: Mapping[str, Any]) -> list[str] | None:
    """Return the columns of a section's query; None if it has none."""
    if "query" not in values:
        return None
    columns: list[str] = db.fetch_value(connection, "select aisle._columns_of_query(%s, %s)", [values["query"], kind])
    return columns


def _differences(
    kind: str, before: Mapping[str, Any], wanted: Mapping[str, Any], zone: str
) -> list[tuple[str, Any, Any]]:
    defaults = DEFAULTS[kind] | ({"time_zone": zone} if "time_zone" in KINDS[kind] else {})
    now = {name: value for name, value in (defaults | dict(wanted)).items() if value not in (False, [], {})}
    then = before or {name: value for name, value in defaults.items() if now.get(name) == value}
    names = [name for name in [*KINDS[kind].values(), "categories"] if then.get(name) != now.get(name)]
    return [(name, then.get(name), now.get(name)) for name in names]


def _time_zone(connection: Connection) -> str:
    return str(db.fetch_value(connection, "select current_setting('TimeZone')"))


def _attach(connection: Connection, kind: str, given: Mapping[str, Any]) -> str:
    named = compose.SQL(", ").join(compose.SQL("{} => %s").format(compose.Identifier(name)) for name in given)
    call = compose.SQL("select aisle.{}({})").format(compose.Identifier(f"attach_{kind}"), named)
    values = [Jsonb(value) if name in JSON_ARGUMENTS else value for name, value in given.items()]
    row = connection.execute(call, values).fetchone()
    return str(row[0]) if row else ""


def _call(connection: Connection, query: str, parameters: list[Any]) -> str:
    return str(db.fetch_value(connection, query, parameters))


def described(change: Change) -> list[str]:
    """Return what a change is, for people, a line each."""
    if change.action == "left alone" and change.kind == "write_back":
        return [
            "write_back: set, but not in the file. Left alone; to end it, in SQL: select aisle.set_write_back(null)"
        ]
    if change.action == "left alone":
        return [f"{change.kind}: attached, but not in the file. Left alone; to remove them: aisle detach {change.kind}"]
    lines = [f"{change.kind}: {change.action}"]
    keys = {argument: key for key, argument in KINDS.get(change.kind, {}).items()}
    for argument, before, now in change.differences:
        key = keys.get(argument, argument)
        if change.action == "attach":
            lines.append(f"  {key}: {_shown(now)}" if "\n" not in str(now) else f"  {key}:")
            lines += [f"    {line}" for line in str(now).splitlines()] if "\n" in str(now) else []
        elif "\n" in f"{before}{now}" and before is not None and now is not None:
            lines.append(f"  {key}:")
            diff = difflib.ndiff(str(before).splitlines(), str(now).splitlines())
            lines += [f"    {line}" for line in diff if line[:1] in "+-"]
        else:
            lines.append(f"  {key}: {_shown(before)} → {_shown(now)}")
    lines += [f"  {line}" for line in change.said.splitlines()]
    return lines


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {part}" for name, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
