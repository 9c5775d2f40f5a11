"""A streaming replica answers as the primary does."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from aisle.migrations import objects
from tests.conftest import Server, Shop

CALLS = (
    "predict_category('녹차')", "embed_text('녹차')", "item_category(42)", "similar_items(43)", "search_items('녹차')",
    "recommend('ann')", "recommend('ann', exclude_seen => false)", "recommend('nobody')", "next_basket('ann')",
    "next_basket('ann', k => null)", "next_basket('nobody')", "complete_basket(array['41'], user_id => 'ann')",
)  # fmt: skip
PORT = 5433  # another than the primary's, whose socket's lock file is copied with the data
VIEWS = [name.removeprefix("views/") for name in objects.creation_order() if name.startswith("views/")]


@pytest.fixture
def replica(server: Server, documented_shop: Shop, database_url: str) -> Iterator[str]:
    """The shop's database on a hot standby of the server."""
    documented_shop.insert_more(44, "식빵")  # so that two items have vectors
    primary, standby = server.home / "postgres", server.home / "standby"
    owner = primary.stat()

    def run(name: str, *arguments: str | Path) -> None:
        user = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        command = [server.program(name), *arguments]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, **user)  # type: ignore[call-overload]
        log = standby / "log"
        assert done.returncode == 0, done.stderr + (log.read_text() if log.exists() else "")

    standby.mkdir(mode=0o700)
    os.chown(standby, owner.st_uid, owner.st_gid)
    run("pg_basebackup", "-d", server.url("postgres"), "-D", standby, "--write-recovery-conf", "--checkpoint=fast")
    run("pg_ctl", "start", "-w", "-D", standby, "-l", standby / "log", "-o", f"-h '' -k {standby} -p {PORT}")
    try:
        yield make_conninfo(database_url, host=str(standby), port=PORT)
    finally:
        run("pg_ctl", "stop", "-D", standby, "-m", "immediate")


def test_a_replica_answers_as_the_primary_does(documented_shop: Shop, replica: str) -> None:
    with psycopg.connect(replica, autocommit=True) as standby:
        assert standby.execute("select pg_is_in_recovery()").fetchone() == (True,)
        for call in CALLS:
            answer = standby.execute(f"select * from aisle.{call}".encode()).fetchall()
            assert answer, call
            assert answer == documented_shop.execute(f"select * from aisle.{call}").fetchall(), call
        for view in VIEWS:
            standby.execute(f"select * from aisle.{view}".encode())
