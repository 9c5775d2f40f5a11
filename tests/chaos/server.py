"""A server that can be taken away at any moment, and a wire to it that can be cut."""

import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psycopg

from aisle import db
from aisle.db import embedded
from tests.conftest import Server


class CrashableServer(Server):
    """A server of our own that writes through to the disk, as a shop's does, and can be taken away at any moment."""

    def start(self) -> None:
        with self.environment():
            embedded.start()

    def stop(self) -> None:
        """Stop as an administrator does: connections are ended, and all is written down."""
        with self.environment():
            embedded.stop()

    def crash(self) -> None:
        """Stop at once, as if the power had failed: the next start has to recover."""
        with self.environment():
            embedded._run("pg_ctl", "stop", "--mode=immediate", "--wait", "-D", self.home / "postgres")

    def started_at(self) -> datetime:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            return db.fetch_value(connection, "select pg_postmaster_start_time()")  # type: ignore[no-any-return]

    def log(self) -> str:
        return (self.home / "postgres" / "server.log").read_text(errors="replace")


@contextlib.contextmanager
def running_server(numbers: Iterator[int]) -> Iterator[CrashableServer]:
    """A server whose settings that guard data are those of any other."""
    with tempfile.TemporaryDirectory(prefix="aisle-chaos-", ignore_cleanup_errors=True) as folder:
        server = CrashableServer(Path(folder).resolve(), numbers)
        server.start()
        try:
            for setting in ("max_wal_size = '256MB'", "log_lock_waits = on"):
                server.execute(f"alter system set {setting}")
            server.execute("alter system set max_prepared_transactions = 10")
            server.stop()
            server.start()
            yield server
        finally:
            server.crash()  # nobody will miss its data


class Wire:
    """A TCP address that leads to the server's socket, until `mute()`: then it silently drops everything.

    It mutes itself when a client says `at`.
    """

    def __init__(self, server: Server, at: bytes | None = None) -> None:
        self.at = at
        self.target = str(server.home / "postgres" / ".s.PGSQL.5432")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.is_muted = threading.Event()
        self.connections = 0
        self.swallowed = 0  # bytes from the server that never arrived
        self._sockets: list[socket.socket] = [self.listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def url(self, url: str) -> str:
        """Return the address by which a database is reached over the wire."""
        database = url.partition("@/")[2].partition("?")[0]
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}?sslmode=disable&gssencmode=disable"

    def mute(self) -> None:
        self.is_muted.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.target)
                self._sockets += [client, server]
                self.connections += 1
                threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, from_server: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.at and self.at in data and not from_server:
                    self.mute()
                if not self.is_muted.is_set():
                    target.sendall(data)
                elif from_server:
                    self.swallowed += len(data)
            if not self.is_muted.is_set():
                target.shutdown(socket.SHUT_WR)
