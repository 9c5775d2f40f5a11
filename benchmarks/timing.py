"""How benchmarks time: the calls on one connection, and contenders in turn, each asked by several client processes."""

import contextlib
import http.client
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import psutil

from aisle.db import Connection

CLIENTS = (1, 8)
ROUNDS, SECONDS = 5, 2.0  # of each contender, in turn


def milliseconds(times: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100)
    return {name: round(1000 * cuts[n - 1], 2) for name, n in (("p50", 50), ("p95", 95), ("p99", 99))}


class Stopwatch:
    """Times the calls on a connection, and how long client and server were on a core for each (Linux tells).

    On a machine that others keep busy, the first is mostly the time that both stood in line; the second is what a call
    takes alone, or a little more.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.files = [Path(f"/proc/{pid}/schedstat") for pid in ("self", connection.info.backend_pid)]
        self.taken: list[float] = []
        self.working: list[float] = []

    def worked(self) -> float:
        return sum(int(file.read_text().split()[0]) for file in self.files if file.exists()) / 1e9

    def fetch(self, statement: str, parameters: Sequence[Any]) -> list[Any]:
        worked, started = self.worked(), time.perf_counter()
        rows = self.connection.execute(statement.encode(), parameters).fetchall()
        self.taken.append(time.perf_counter() - started)
        self.working.append(self.worked() - worked)
        return rows

    def result(self) -> dict[str, Any]:
        return {"ms": milliseconds(self.taken), "ms on a core": milliseconds(self.working)}


def in_turn(
    contenders: dict[str, tuple[Any, ...]],
    questions: Sequence[Any],
    server: Sequence[psutil.Process],
    rounds: int,
    seconds: float,
) -> dict[str, Any]:
    """Return how fast each contender answers, several rounds in turn; `server` works for those that are not SQL."""
    result: dict[str, Any] = {}
    for clients in CLIENTS:
        runs = [
            {
                name: run(contender, questions, clients, [] if name.startswith("SQL") else server, seconds)
                for name, contender in contenders.items()
            }
            for _ in range(rounds)
        ]
        result[f"{clients} clients"] = {
            name: {
                "ms, p50 by round": [round(1000 * statistics.median(r[name][0]), 2) for r in runs],
                "ms, p99 by round": [milliseconds(r[name][0])["p99"] for r in runs],
                "queries/s by round": [round(len(r[name][0]) / seconds) for r in runs],
                "ms on a core by round": [round(1000 * r[name][1], 2) for r in runs],
                "ms on a core": round(1000 * statistics.median(r[name][1] for r in runs), 2),
            }
            for name in contenders
        }
    return result


def on_core(*processes: psutil.Process) -> float:
    """Return how many seconds processes were on a core, all their threads together."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def client(contender: tuple[Any, ...], questions: Sequence[Any], seconds: float, ready: Barrier, results: Any) -> None:
    """One application process: asks, one query after the other, until time is up."""
    connect, *arguments = contender
    ask, backend = connect(*arguments)
    working = [psutil.Process(), *([psutil.Process(backend)] if backend else [])]
    for question in questions[:50]:
        ask(question)
    ready.wait(timeout=60)
    worked, end, taken = on_core(*working), time.perf_counter() + seconds, []
    while (started := time.perf_counter()) < end:
        ask(questions[len(taken) % len(questions)])
        taken.append(time.perf_counter() - started)
    results.put((taken, on_core(*working) - worked))


def run(
    contender: tuple[Any, ...],
    questions: Sequence[Any],
    clients: int,
    server: Sequence[psutil.Process],
    seconds: float,
) -> tuple[list[float], float]:
    """Return the seconds that each query took, and the seconds on a core of an average query, client and server."""
    context = multiprocessing.get_context("fork")
    ready, results = context.Barrier(clients), context.Queue()
    processes = [
        context.Process(
            target=client, args=(contender, [*questions[n * 61 :], *questions[: n * 61]], seconds, ready, results)
        )
        for n in range(clients)
    ]
    worked = on_core(*server)
    for process in processes:
        process.start()
    rows = [results.get(timeout=60 + seconds) for _ in processes]
    for process in processes:
        process.join()
    taken = [one for times, _ in rows for one in times]
    asked = len(taken) + 50 * clients
    return taken, sum(working for _, working in rows) / len(taken) + (on_core(*server) - worked) / asked


def open_http(port: int) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


@contextlib.contextmanager
def serve(module: str, settings: dict[str, str]) -> Iterator[tuple[int, list[psutil.Process]]]:
    """Run the FastAPI application of a module of this folder, a process a core; yield its port and its processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", f"{module}:app", "--app-dir", str(Path(__file__).parent),
               "--port", str(port), "--workers", str(os.cpu_count()), "--loop", "uvloop", "--http", "httptools",
               "--no-access-log", "--log-level", "warning"]  # fmt: skip
    process = subprocess.Popen(command, env=os.environ | settings)
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                connection = open_http(port)
                connection.request("GET", "/")
                connection.getresponse()
                break
            if time.monotonic() > deadline:
                raise TimeoutError("The FastAPI server does not answer.")
            time.sleep(0.2)
        yield port, psutil.Process(process.pid).children(recursive=True)
    finally:
        process.terminate()
        process.wait(timeout=30)
