"""Dumps of attached tables, and a schema `public` that is dropped, in shops of three shapes."""

import re
import subprocess
from pathlib import Path

import psycopg
import pytest
from psycopg.types.json import Jsonb

from aisle import db, migrations
from aisle.db import doctor
from tests.attached_shops import Attached, work
from tests.conftest import Server
from tests.shapes import ROOT, SHAPES

DOCS = ROOT / "docs/operations/backups-and-upgrades.md"

of_all = pytest.mark.parametrize("attached", list(SHAPES), indirect=True)


def program(server: Server, name: str) -> Path:
    path = server.program(name)
    if not path.exists():
        pytest.skip(f"The embedded PostgreSQL comes without {name}.")
    return path


def restore(server: Server, url: str, dump: str) -> None:
    """Run a dump as frameworks do, which stop at the first error."""
    psql = [program(server, "psql"), url, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]
    done = subprocess.run(psql, input=dump, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr


def without_aisle(dump: str) -> str:
    """Run the filter of the docs."""
    text = DOCS.read_text(encoding="utf-8")
    (command,) = re.findall(r"awk '[^']+'", text)
    return subprocess.run(command, shell=True, input=dump, capture_output=True, encoding="utf-8", check=True).stdout


@of_all
def test_a_dump_of_the_shops_tables_is_restored_without_aisle(attached: Attached, server: Server) -> None:
    names = vars(attached.names)
    written = {
        "statement": "update {items} set {category} = $2 where id = $1".format(**names),
        "undo": "update {items} set {category} = $2 where id = $1".format(**names),
        "threshold": 0.9,
        "at_commit": True,
    }
    attached.execute("select aisle.set_write_back(%s)", [Jsonb(written)])
    assert attached.value("select count(*) from pg_trigger where tgname = 'aisle_500_write_back'") == 1
    tables = [f"--table={names[n]}" for n in ("items", "orders", "lines")]
    dump = [
        program(server, "pg_dump"),
        "--exclude-schema=aisle",
        "--exclude-schema=pgvector",
        "--exclude-extension=vector",
    ]
    for options in ([], ["--schema-only"]):
        text = subprocess.run([*dump, *options, attached.url], capture_output=True, encoding="utf-8", check=True).stdout
        assert "aisle." in text, "There is something to take out."
        with server.database("template template0") as url:
            restore(server, url, without_aisle(text))
            with psycopg.connect(url) as connection:
                count = f"select count(*) from {names['items']}".encode()
                assert connection.execute(count).fetchone() == ((0,) if options else (600,))
                rows = "select count(*) from pg_trigger where not tgisinternal"
                assert connection.execute(rows).fetchone() == (0,)
    only = subprocess.run([*dump[:1], *tables, attached.url], capture_output=True, encoding="utf-8", check=True).stdout
    assert all(line.startswith("--") for line in without_aisle(only).splitlines() if "aisle" in line)


@of_all
def test_a_full_dump_is_restored_with_all(attached: Attached, server: Server, tmp_path: Path) -> None:
    archive = tmp_path / "shop.dump"
    dump, back = program(server, "pg_dump"), program(server, "pg_restore")
    subprocess.run([dump, "--format=custom", f"--file={archive}", attached.url], check=True)
    with server.database("template template0") as url:
        subprocess.run([back, "--exit-on-error", f"--dbname={url}", archive], check=True)
        with db.connect(url) as connection:
            connection.execute("reset search_path")
            copy = Attached(connection)
            copy.shape, copy.names, copy.url, copy.file = attached.shape, attached.names, url, attached.file
            assert copy.kept() == attached.kept()
            assert copy.problems() == []
            copy.write()
            assert copy.waiting() == {copy.shape.product(13)}


@of_all
def test_a_single_table_that_was_restored_is_attached_again_by_resume(
    attached: Attached, server: Server, tmp_path: Path
) -> None:
    archive = tmp_path / "shop.dump"
    dump, back = program(server, "pg_dump"), program(server, "pg_restore")
    subprocess.run([dump, "--format=custom", f"--file={archive}", attached.url], check=True)
    kept = attached.kept()
    attached.run("drop table {items} cascade")
    name = attached.names.items.strip('"')
    subprocess.run([back, f"--table={name}", f"--dbname={attached.url}", archive], check=True)
    # --table leaves out indexes and constraints.
    attached.run("alter table {items} add primary key (id)")
    assert {problem.rpartition(" -> ")[2] for problem in attached.problems()} == {"aisle resume items"}
    attached.execute("select aisle.resume('items')")
    assert attached.problems() == []
    assert attached.kept() == kept
    attached.write()
    assert attached.waiting() == {attached.shape.product(13)}
    work(attached)


@of_all
def test_a_schema_public_that_is_dropped_leaves_aisle_whole(attached: Attached, server: Server) -> None:
    """As `prisma migrate reset` does; Aisle made the schema of pgvector."""
    archive = subprocess.run(
        [program(server, "pg_dump"), "--schema=public", "--no-owner", attached.url],
        capture_output=True, encoding="utf-8", check=True,
    ).stdout  # fmt: skip
    kept = attached.kept()
    attached.execute("drop schema public cascade")
    assert attached.kept() == kept
    assert any(" -> aisle " in problem for problem in attached.problems())
    # The migrations make the tables again, without triggers of ours.
    restore(server, attached.url, without_aisle(archive))
    assert {problem.rpartition(" -> ")[2] for problem in attached.problems()} == {
        "aisle resume items", "aisle resume orders",
    }  # fmt: skip
    attached.execute("select aisle.resume('items'); select aisle.resume('orders')")
    assert attached.problems() == []
    assert attached.kept() == kept


def test_a_migration_that_pauses_runs_where_there_is_no_aisle(empty_url: str) -> None:
    """Such as in a shadow database, or that of a shop's tests."""
    (block,) = re.findall(r"```sql\n(do .+?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    with psycopg.connect(empty_url) as connection:
        connection.execute(block.encode())


@of_all
def test_a_migration_that_pauses_if_there_is_aisle(attached: Attached) -> None:
    (block,) = re.findall(r"```sql\n(do .+?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    attached.execute(block)
    assert attached.value("select is_paused from aisle._attachments where kind = 'items'")
    attached.execute(block.replace("pause", "resume"))
    assert [f for f in doctor.examine(attached.url, migrations.head()) if f.found == "paused"] == []
