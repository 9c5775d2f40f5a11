"""Real worker processes, which can be killed."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil  # type: ignore[import-untyped]

from tests.chaos.waiting import PATIENCE

PROGRAM = Path(sys.executable).with_name("aisle")
LEASE = 3  # seconds; what a killed worker's rows wait for
POLL = 1  # seconds
BATCH = 64  # rows
THREADS = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


@dataclass
class WorkerProcess:
    """One process of `aisle worker`; its connections carry its name as the setting `chaos.worker`."""

    name: str
    pid: int
    log: Path
    wait: Callable[[], int]  # the exit code, or minus the signal
    _code: int | None = None

    def is_alive(self) -> bool:
        try:
            return bool(psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    def end(self, number: signal.Signals) -> int:
        """Send a signal, and return how the process ended."""
        if self._code is None:
            os.kill(self.pid, number)
            self._code = self.wait()
        return self._code

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Nursery:
    """A process that imports torch, then starts workers by forking; the first order waits for the import."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("nursery.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **THREADS},
            cwd="/",
        )
        self._is_ready = False
        self._orders = threading.Lock()

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # its workers are ended by those who started them
        self._process.communicate()

    def order(self, **order: Any) -> int:
        """Have something done that nursery.py knows; return its answer."""
        assert self._process.stdin
        with self._orders:
            if not self._is_ready:
                assert self._answer() == 0
                self._is_ready = True
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return self._answer()

    def _answer(self) -> int:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "The nursery has ended: see its complaint on stderr."
        return int(line)


class Staff:
    """Starts workers, by the command or in the nursery; none outlives it."""

    def __init__(
        self,
        url: str,
        folder: Path,
        nursery: Nursery,
        *,
        batch_size: int = BATCH,
        poll: float = POLL,
        lease: float = LEASE,
    ) -> None:
        self.url = url
        self.folder = folder
        self.nursery = nursery
        self.options = [
            *("--batch-size", str(batch_size)),
            *("--poll-interval", str(poll)),
            *("--lease", str(lease)),
        ]
        self.workers: list[WorkerProcess] = []
        self._numbers = itertools.count(1)

    def __enter__(self) -> "Staff":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.end(signal.SIGKILL)

    def hire(self, *options: str, url: str | None = None) -> WorkerProcess:
        """Start `aisle worker`, the program; another address than the shop's may be weather."""
        name, log = self._next()
        with log.open("w") as file:
            process = subprocess.Popen(
                [PROGRAM, *self._arguments(options)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, **self._environment(name, url or self.url)},
                cwd="/",
            )
        return self._enlist(WorkerProcess(name, process.pid, log, lambda: process.wait(PATIENCE)))

    def fork(self, *options: str) -> WorkerProcess:
        """Start `aisle worker` in the nursery, where torch is imported already."""
        name, log = self._next()
        pid = self.nursery.order(
            arguments=self._arguments(options), environment=self._environment(name, self.url), log=str(log)
        )
        return self._enlist(WorkerProcess(name, pid, log, lambda: self.nursery.order(wait=pid)))

    def _next(self) -> tuple[str, Path]:
        name = f"w{next(self._numbers)}"
        return name, self.folder / f"{name}.log"

    def _environment(self, name: str, url: str) -> dict[str, str]:
        """The environment of a worker: its name is in the address, and it leaves its files with us."""
        named = f"{url}{'&' if '?' in url else '?'}options={quote(f'-c chaos.worker={name}')}"
        return THREADS | {"AISLE_DATABASE_URL": named, "TMPDIR": str(self.folder)}

    def _arguments(self, options: Sequence[str]) -> list[str]:
        return ["-v", "worker", *self.options, *options]

    def _enlist(self, worker: WorkerProcess) -> WorkerProcess:
        self.workers.append(worker)
        return worker
