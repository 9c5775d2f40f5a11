"""What `aisle doctor` examines: each finding with its remedy."""

from dataclasses import dataclass

import psycopg

from aisle import sql
from aisle.sql import Connection, errors


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was found, and, if something is wrong, what to do."""

    check: str
    found: str
    remedy: str | None = None


def examine(url: str) -> list[Finding]:
    """Examine server, schema, attachment, model, queue and indexes; stop where the next has nothing to stand on."""
    try:
        with sql.connect(url, application_name="aisle doctor") as connection:
            findings = [*_server(connection)]
            if connection.execute("select to_regclass('aisle._models')").fetchone() == (None,):
                return [*findings, Finding("schema", "not there", "aisle migrate")]
            return [
                *findings,
                *_attachment(connection),
                *_model(connection),
                *_queue(connection),
                *_indexes(connection),
            ]
    except errors.AisleError as error:
        return [Finding("server", str(error), error.hint or "")]
    except psycopg.errors.InsufficientPrivilege as error:
        return [Finding("rights", str(error).strip(), "Connect as the role that ran aisle migrate.")]


def _server(connection: Connection) -> list[Finding]:
    row = connection.execute("select extversion from pg_extension where extname = 'vector'").fetchone()
    version = row[0] if row else None
    pgvector = Finding("pgvector", version or "not installed in this database", None if version else "aisle migrate")
    return [Finding("server", f"PostgreSQL {connection.info.server_version // 10000}"), pgvector]


def _attachment(connection: Connection) -> list[Finding]:
    row = connection.execute(
        "select a.relation::text, c.relkind in ('r', 'p'),"
        " (select count(*) from pg_trigger t where t.tgrelid = a.relation and t.tgname like 'aisle\\_500\\_%%'),"
        " (select count(*) from pg_trigger t where t.tgrelid = a.relation and t.tgname like 'aisle\\_500\\_%%'"
        "  and t.tgenabled = 'D')"
        " from aisle._attachments a left join pg_class c on c.oid = a.relation where a.kind = 'items'"
    ).fetchone()
    if row is None:
        return [Finding("items", "not attached", "aisle attach items SCHEMA.TABLE --id … --name …")]
    relation, has_triggers, triggers, disabled = row
    if has_triggers is None:
        return [Finding("items", f"{relation} is gone", "aisle detach items")]
    if has_triggers and (triggers == 0 or disabled):
        return [
            Finding("items", f"triggers on {relation} are missing or disabled", "aisle detach items, then attach again")
        ]
    return [Finding("items", f"{relation}, {triggers} triggers")]


def _model(connection: Connection) -> list[Finding]:
    rows = connection.execute("select model_id, state from aisle.models where state in ('live', 'failed')").fetchall()
    live = [model_id for model_id, state in rows if state == "live"]
    failed = [model_id for model_id, state in rows if state == "failed"]
    findings = [
        Finding("model", f"model {live[0]} is live")
        if live
        else Finding("model", "none is live", "aisle train category")
    ]
    if failed:
        findings.append(Finding("model", f"model {failed[0]} failed to train", "The next aisle train clears it away."))
    return findings


def _queue(connection: Connection) -> list[Finding]:
    pending, oldest, dead = sql.fetch_row(
        connection, "select pending, oldest_pending, (select count(*) from aisle.failures) from aisle.freshness"
    )
    findings = [Finding("queue", f"{pending} waiting" + (f", the oldest for {oldest}" if oldest else ""))]
    findings += [
        Finding("freshness", warning, remedy)
        for warning, remedy in connection.execute("select warning, remedy from aisle.warnings")
    ]
    if dead:
        findings.append(
            Finding("failures", f"{dead} rows were given up", "aisle failures, then aisle failures --requeue")
        )
    return findings


def _indexes(connection: Connection) -> list[Finding]:
    rows = connection.execute(
        "select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid"
        " where c.relnamespace = 'aisle'::regnamespace and not i.indisvalid"
    ).fetchall()
    return [Finding("index", f"{name} is invalid", f'drop index aisle."{name}", then train again') for (name,) in rows]
