"""The checks of `aisle doctor`. Each finding has its remedy."""

import functools
import re
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql as compose
from psycopg.rows import dict_row

from aisle import db
from aisle.db import Connection, errors, grants, schema_objects

TESTED_POSTGRES = range(15, 19)
FEWEST_SCAN_TUPLES = 20_000  # pgvector's default; with fewer, a search that filters many rows out may miss answers
LONGEST_NOTIFY = 5.0  # seconds
LARGEST_SKEW = 5.0  # seconds
AS_OTHER_SESSIONS_PLAN = (
    "select set_config(name, reset_val, true) from pg_settings where name ~ '^enable_' and setting <> reset_val"
)
READERS = """
    select a.grantee::regrole::text from pg_class c, aclexplode(c.relacl) a
    where c.oid = 'aisle.ngram_vectors'::regclass and a.privilege_type = 'SELECT' and a.grantee not in (0, c.relowner)
"""
ROOM = 2  # times the size of the live generation: a new one may need it while it is loaded and indexed

# What is paused, swapped or gone is said with the attached tables.
OTHER_WARNINGS = (
    "select warning, remedy from aisle.warnings"
    " where warning !~ '^(Aisle''s view of|The name |.*, which triggers read|The [a-z]+ are paused)'"
)


@dataclass(frozen=True)
class Finding:
    """The name of a check, its result, and, for a problem, the remedy."""

    check: str
    found: str
    remedy: str | None = None


def examine(url: str, revision: str) -> list[Finding]:
    """Run all checks. If the server or the schema has a problem, the others are skipped, because they need both.

    `revision` is the schema's revision that this program needs.
    """
    foundations = (_server, functools.partial(_schema, revision=revision))
    sections = (
        _rights, _attachments, _item_ids, _repeated_keys, _shop_indexes, _models, _other_categories, _indexes,
        _settings, _queue, _vacuum, _disk, _clock, functools.partial(_notifications, url=url),
    )  # fmt: skip
    findings: list[Finding] = []
    try:
        with db.connect(url, application_name="aisle doctor") as connection:
            for section in foundations:
                findings += _examined(connection, section)
                if any(finding.remedy for finding in findings):
                    return findings
            for section in sections:
                findings += _examined(connection, section)
    except errors.AisleError as error:
        findings.append(Finding("server", str(error), error.hint or ""))
    return findings


def _examined(connection: Connection, section: Callable[[Connection], list[Finding]]) -> list[Finding]:
    try:
        return section(connection)
    except psycopg.errors.InsufficientPrivilege as error:
        reason = str(error).strip()
        remedy = "Connect as the role that ran aisle migrate, or run as that role: aisle grant --admin ROLE"
        if (schema := re.search(r"permission denied for schema (.+)", reason)) and schema[1] != "aisle":
            remedy = f"grant usage on schema {schema[1]} to {compose.Identifier(connection.info.user).as_string()};"
        return [Finding("rights", reason, remedy)]


def _server(connection: Connection) -> list[Finding]:
    major = connection.info.server_version // 10000
    untested = "" if major in TESTED_POSTGRES else ", a version that Aisle's tests do not cover"
    row = connection.execute("select extversion from pg_extension where extname = 'vector'").fetchone()
    version = row[0] if row else None
    pgvector = Finding("pgvector", version or "not installed in this database", None if version else "aisle migrate")
    return [Finding("server", f"PostgreSQL {major}{untested}"), pgvector]


def _schema(connection: Connection, revision: str) -> list[Finding]:
    if not db.fetch_value(connection, "select to_regclass('aisle.alembic_version') is not null"):
        return [Finding("schema", "missing", "aisle migrate")]
    row = connection.execute("select version_num from aisle.alembic_version").fetchone()
    found = row[0] if row else None
    if found != revision:
        return [Finding("schema", f"revision {found}; this program needs {revision}", "aisle migrate")]
    if schema_objects.has_lost_vectors(connection):
        lost = "pgvector was dropped with all columns of its types"
        return [Finding("schema", lost, "aisle migrate --to base, aisle migrate, then attach and train")]
    if missing := schema_objects.missing(connection):
        return [Finding("schema", f"missing: {', '.join(missing)}", "aisle migrate")]
    return [Finding("schema", f"revision {found}")]


def _rights(connection: Connection) -> list[Finding]:
    """Find rights that are too wide. docs/security.md explains them."""
    owner, is_superuser = db.fetch_row(
        connection,
        "select r.rolname, r.rolsuper from pg_namespace n join pg_roles r on r.oid = n.nspowner"
        " where n.nspname = 'aisle'",
    )
    findings = []
    for relation, table_owner, code in connection.execute(db.read("queries/owners_of_attached")).fetchall():
        if is_superuser and table_owner != owner:
            findings.append(
                Finding(
                    "rights",
                    f"The superuser {owner} owns Aisle, but {table_owner} owns {relation}",
                    "Install Aisle as a role of its own that is no superuser: docs/security.md",
                )
            )
        if code:
            findings.append(Finding("rights", f"{relation}: {code}", "See docs/security.md, Code of others."))
    for (relation,) in connection.execute(
        "select c.oid::regclass::text from pg_class c where c.relnamespace = 'aisle'::regnamespace and c.relrowsecurity"
    ):
        findings.append(
            Finding(
                "rights",
                f"{relation} has row security, which hides all its rows from readers and workers",
                f"alter table {relation} disable row level security; and look for an event trigger that enables it",
            )
        )
    if secured := grants.with_row_security(connection):
        readers = connection.execute(READERS).fetchall()
        findings += [
            Finding(
                "rights", f"{role} can read vectors of rows of {', '.join(secured)} that row security may hide from it"
            )
            for (role,) in readers
        ]
    return findings or [Finding("rights", f"{owner} owns Aisle")]


def _attachments(connection: Connection) -> list[Finding]:
    findings = []
    with connection.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(db.read("queries/attached_relations")).fetchall():
            kind, relation = row["kind"], row["relation"]
            anew = f"aisle resume {kind}"
            if row["is_paused"]:
                findings.append(Finding(kind, "paused", anew))
            elif not row["is_there"]:
                lost = f"Aisle's view of the {kind} is missing: a table that it reads was dropped or changed"
                findings.append(
                    Finding(kind, f"{relation} is gone", f"aisle detach {kind}")
                    if row["is_gone"]
                    else Finding(kind, lost, anew)
                )
            elif row["other_table"]:
                found = f"the declared name is now another table's; the attached one is {row['other_table']}"
                findings.append(Finding(kind, found, anew))
            elif row["partition_of"]:
                findings.append(Finding(kind, f"{relation} has become a partition of {row['partition_of']}", anew))
            elif row["unknown_columns"]:
                names = ", ".join(row["unknown_columns"])
                findings.append(Finding(kind, f"{relation} no longer has the column {names}", anew))
            elif row["renamed"]:
                names = ", ".join(row["renamed"])
                findings.append(Finding(kind, f"{relation} has another column under the name {names}, or none", anew))
            elif row["missing"]:
                findings.append(Finding(kind, f"{relation} lacks triggers: {', '.join(row['missing'])}", anew))
            elif row["children"]:
                names = ", ".join(row["children"])
                remedy = f"aisle detach {kind}, then attach a view of its own rows: … from only {relation}"
                findings.append(
                    Finding(kind, f"{relation} has child tables, whose rows no trigger sees: {names}", remedy)
                )
            elif row["disabled"]:
                remedy = " ".join(row["disabled"]) + " Then: aisle embed"
                findings.append(Finding(kind, f"{relation} has disabled triggers", remedy))
            elif row["is_unwatched"]:
                findings.append(Finding(kind, f"{relation}, without triggers: workers compare its rows"))
            else:
                findings.append(Finding(kind, str(relation)))
    if not findings:
        findings.append(Finding("items", "not attached", "aisle attach items SCHEMA.TABLE --id … --name …"))
    return findings


def _item_ids(connection: Connection) -> list[Finding]:
    """Count the events and order lines that are about an attached item. What may not or cannot be read is left out."""
    findings = []
    for (kind,) in connection.execute(db.read("queries/kinds_beside_items")).fetchall():
        try:
            with db.guarded(connection):
                checked, known, is_half = db.fetch_row(connection, "select * from aisle._item_share(%s)", (kind,))
        except psycopg.Error:
            continue
        if checked:
            remedy = None if is_half else "Attach the column with the items' ids."
            found = f"{known:,} of {checked:,} rows of {kind} are about an attached item"
            findings.append(Finding("item ids", found, remedy))
    return findings


def _repeated_keys(connection: Connection) -> list[Finding]:
    """Name keys that lead to more than one row by now: a join counts each of them. What may not be read is left out."""
    findings = []
    for kind, relation, column in connection.execute(db.read("queries/keys_to_check")).fetchall():
        try:
            with db.guarded(connection):
                connection.execute("select aisle._check_unique(%s::regclass, %s, '')", (relation, column))
        except psycopg.Error as error:
            if error.sqlstate == errors.UnsuitableRelationError.sqlstate:
                said = error.diag.message_primary or ""
                findings.append(Finding(kind, said.rstrip("."), "make them unique, or declare what leads to one row"))
    return findings


def _shop_indexes(connection: Connection) -> list[Finding]:
    rows = connection.execute(
        "select m.statement from aisle._attachments a, aisle._missing_indexes(a.kind) m order by a.kind"
    ).fetchall()
    return [Finding("shop's index", "without this index, answers read a whole table", row[0]) for row in rows]


def _other_categories(connection: Connection) -> list[Finding]:
    """Say that the live category model answers categories that the items no longer have."""
    live = connection.execute("select d.model_id from aisle._live_models d where d.task = 'category'").fetchone()
    try:
        with db.guarded(connection):
            if live and db.fetch_value(connection, db.read("queries/answers_another_scheme"), {"model_id": live[0]}):
                found = f"model {live[0]} answers other categories than the items have now"
                return [Finding("category model", found, "aisle train category")]
    except psycopg.Error:
        pass
    return []


def _models(connection: Connection) -> list[Finding]:
    rows = connection.execute(
        "select model_id, task, state from aisle.models where state in ('live', 'failed') order by model_id"
    ).fetchall()
    findings = [
        Finding("model", f"{task}: model {model_id} is live") for model_id, task, state in rows if state == "live"
    ]
    if not findings:
        findings.append(Finding("model", "none is live", "aisle train category"))
    findings += [
        Finding("model", f"model {model_id} failed to train, or was removed only in part", "aisle prune")
        for model_id, _, state in rows
        if state == "failed"
    ]
    return findings


def _indexes(connection: Connection) -> list[Finding]:
    """Find invalid, missing and unused indexes."""
    rows = connection.execute(
        "select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid"
        " where c.relnamespace = 'aisle'::regnamespace and not i.indisvalid"
    ).fetchall()
    findings = [
        Finding("index", f"{name} is invalid", f'drop index aisle."{name}"; and train again') for (name,) in rows
    ]
    vectors = db.vector_schema(connection)
    for partition, column, operator, index in connection.execute(db.read("queries/searched_partitions")).fetchall():
        table, vector = compose.SQL(partition), compose.Identifier(column)
        sample = connection.execute(
            compose.SQL(
                "select s.v::text, {}.vector_dims(s.v), count(*) over ()"
                " from (select {} as v from {} where {} is not null limit {}) s limit 1"
            ).format(vectors, vector, table, vector, db.INDEX_FROM)
        ).fetchone()
        if sample is None or sample[2] < db.INDEX_FROM:
            continue  # an exact scan of few vectors is faster
        if index is None:
            findings.append(Finding("index", f"{partition} has no HNSW index on {column}", "Train again."))
            continue
        half = compose.SQL("{}.halfvec({})").format(vectors, compose.Literal(sample[1]))
        explain = compose.SQL("explain (format json) select from {} order by {}::{} operator({}.{}) {}::{} limit 10")
        with connection.transaction():
            connection.execute(AS_OTHER_SESSIONS_PLAN)
            plan = connection.execute(
                explain.format(table, vector, half, vectors, compose.SQL(operator), compose.Literal(sample[0]), half)
            ).fetchone()
        if f"'{index}'" in str(plan):
            findings.append(Finding("index", f"plans use {index}"))
        else:
            findings.append(
                Finding("index", f"plans do not use {index}", f"analyze {partition}; and see: show enable_indexscan")
            )
    return findings


def _settings(connection: Connection) -> list[Finding]:
    connection.execute(compose.SQL("select '[1]'::{}.vector").format(db.vector_schema(connection)))  # loads the library
    settings: dict[str, str] = dict(
        connection.execute("select name, setting from pg_settings where name like 'hnsw.%' order by name").fetchall()
    )
    found = ", ".join(f"{name.removeprefix('hnsw.')} {setting}" for name, setting in settings.items())
    if int(settings.get("hnsw.max_scan_tuples", FEWEST_SCAN_TUPLES)) < FEWEST_SCAN_TUPLES:
        database = compose.Identifier(connection.info.dbname).as_string()
        return [Finding("hnsw", found, f"alter database {database} reset hnsw.max_scan_tuples; also for each role")]
    return [Finding("hnsw", found)]


def _queue(connection: Connection) -> list[Finding]:
    rows = connection.execute("select task, pending, oldest_pending from aisle.freshness order by task").fetchall()
    findings = [
        Finding("queue", f"{task}: {pending} pending" + (f", the oldest for {oldest}" if oldest else ""))
        for task, pending, oldest in rows
    ]
    findings += [Finding("warning", warning, remedy) for warning, remedy in connection.execute(OTHER_WARNINGS)]
    dead = db.fetch_value(connection, "select count(*) from aisle.failures")
    if dead:
        findings.append(
            Finding("failures", f"the worker gave up {dead} rows", "aisle failures, then aisle failures --requeue")
        )
    return findings


def _vacuum(connection: Connection) -> list[Finding]:
    """Find replication slots and other things that keep dead rows. `aisle.warnings` reports open transactions."""
    rows = connection.execute(db.read("queries/vacuum_holders")).fetchall()
    return [Finding("vacuum", found, remedy) for found, remedy in rows]


def _disk(connection: Connection) -> list[Finding]:
    size = db.fetch_value(
        connection,
        "select max(v.size + f.size)::bigint from aisle._live_models l"
        " cross join lateral (select coalesce(sum(pg_total_relation_size(to_regclass(format("
        "     'aisle.%I', t || '_' || l.model_id)))), 0) as size from unnest(aisle._vector_tables(l.task)) t) v"
        " cross join lateral ("
        "     select coalesce(sum(m.size), 0) as size from aisle._model_files m where m.model_id = l.model_id) f",
    )
    if size is None:
        return []
    needed = f"the largest live generation takes {_megabytes(size)}"
    free = _free_disk(connection)
    if free is None:
        return [Finding("disk", f"{needed}; the free space of the server is unknown")]
    found = f"{needed}; {_megabytes(free)} are free"
    if free < ROOM * size:
        return [Finding("disk", found, "Free space before the next training: it needs about twice that size.")]
    return [Finding("disk", found)]


def _clock(connection: Connection) -> list[Finding]:
    before = time.time()
    server = float(db.fetch_value(connection, "select extract(epoch from clock_timestamp())"))
    after = time.time()
    skew = server - (before + after) / 2
    found = f"the server's clock is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
    if abs(skew) > LARGEST_SKEW + (after - before) / 2:
        remedy = "Set both clocks by NTP: leases and ages use the server's, logs use this machine's."
        return [Finding("clock", found, remedy)]
    return [Finding("clock", found)]


def _notifications(connection: Connection, url: str) -> list[Finding]:
    channel = f"aisle_doctor_{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True, application_name="aisle doctor", **db.CONNECTION_OPTIONS) as listener:
        listener.execute(compose.SQL("listen {}").format(compose.Identifier(channel)))
        connection.execute("select pg_notify(%s, '')", (channel,))
        sent_at = time.monotonic()
        for _ in listener.notifies(timeout=LONGEST_NOTIFY, stop_after=1):
            return [Finding("notify", f"a notification arrives in {1000 * (time.monotonic() - sent_at):.0f} ms")]
    return [
        Finding(
            "notify",
            "notifications do not arrive, probably because of a pooler",
            "Workers poll. To wake them at once, give them a direct address: --listen-url",
        )
    ]


def _free_disk(connection: Connection) -> int | None:
    """Return the free bytes on the disk of the server's data; None if it is not this machine's disk."""
    row = connection.execute(
        "select setting, extract(epoch from pg_postmaster_start_time()) from pg_settings where name = 'data_directory'"
    ).fetchone()
    if row is None or row[0] is None:
        return None  # only superusers and members of pg_read_all_settings see the setting
    try:
        # The folder of a server in a container or behind a tunnel may be another folder here.
        started_at = int((Path(row[0]) / "postmaster.pid").read_text().splitlines()[2])
        return shutil.disk_usage(row[0]).free if abs(started_at - float(row[1])) < 60 else None
    except (OSError, IndexError, ValueError):
        return None


def _megabytes(size: Any) -> str:
    return f"{size / 1e6:,.0f} MB"
