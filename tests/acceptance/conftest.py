"""The real `aisle` in processes of its own, against the server of the run."""

import csv
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aisle.demo.catalogue import read_catalogue
from aisle.demo.products import make_products
from tests.conftest import Server

PROGRAM = Path(sys.executable).with_name("aisle")
PATIENCE = 60  # seconds
ROWS = 400
COLUMNS = ("id", "name", "manufacturer", "category", "specifications")
TRAIN = ("train", "category", "--encoder", "ngram", "--epochs", "3")


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and how it ended."""

    code: int
    output: str
    errors: str


@dataclass
class Aisle:
    """`aisle` with the address of a database in its environment."""

    url: str
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        return {**os.environ, "AISLE_DATABASE_URL": self.url}

    def run(self, *arguments: object) -> Outcome:
        done = subprocess.run(
            [PROGRAM, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=self.environment(),
            cwd="/",
            timeout=2 * PATIENCE,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def __call__(self, *arguments: object) -> str:
        """Run a command that must succeed without a word of complaint; return what it printed."""
        outcome = self.run(*arguments)
        assert outcome.code == 0, f"aisle {' '.join(map(str, arguments))}: {outcome.errors}"
        for complaint in ("Traceback", "Warning", "warning"):
            assert complaint not in outcome.errors, f"stderr must be free of it: {outcome.errors}"
        return outcome.output

    def json(self, *arguments: object) -> Any:
        return json.loads(self(*arguments, "--json"))

    def refusal(self, *arguments: object) -> str:
        """Run a command that must fail; return its one sentence, followed by its hint."""
        outcome = self.run(*arguments)
        assert outcome.code == 1, outcome
        assert "Traceback" not in outcome.errors
        # Long work says what it does, in lines that begin with the time; the error is what follows.
        lines = [line for line in outcome.errors.splitlines() if not line.lstrip()[:1].isdigit()]
        assert lines, outcome
        assert lines[0].startswith("Error: "), outcome.errors
        assert lines[0].endswith((".", "?")), f"An error is a sentence: {lines[0]}"
        assert len(lines) <= 2, f"An error is one sentence and one hint: {outcome.errors}"
        return " ".join(lines)

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        """Start a command that stays, or takes its time; the fixture ends it."""
        process = subprocess.Popen(
            [PROGRAM, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(),
            cwd="/",
        )
        self.started.append(process)
        return process

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def value(self, statement: str) -> Any:
        return self.query(statement)[0][0]

    def stop_all(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"It did not happen within {PATIENCE} s: {what}"
        time.sleep(0.05)


@pytest.fixture
def aisle(database_url: str) -> Iterator[Aisle]:
    """`aisle` on a migrated, empty database."""
    aisle = Aisle(database_url)
    yield aisle
    aisle.stop_all()


@pytest.fixture
def bare(empty_url: str) -> Iterator[Aisle]:
    """`aisle` on a database that it has never seen."""
    aisle = Aisle(empty_url)
    yield aisle
    aisle.stop_all()


@pytest.fixture(scope="session")
def csv_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few hundred products of six categories; some have none yet."""
    from random import Random

    assortment = make_products(read_catalogue(), Random(7))
    wanted = sorted({p.category for p in assortment.products if p.category})[::8][:6]
    rows = [p for p in assortment.products if p.category in wanted or p.category is None]
    path = tmp_path_factory.mktemp("acceptance") / "products.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows([getattr(row, column) for column in COLUMNS] for row in itertools.islice(rows, ROWS))
    return path


@pytest.fixture(scope="session")
def trained(server: Server, template: str, csv_file: Path) -> str:
    """The name of a database with an attached table and a live model, for `create database … template …`."""
    name = "aisle_trained"
    server.execute(f"create database {name} template {template} strategy file_copy")
    aisle = Aisle(server.url(name))
    aisle("import", "items", csv_file, "--table", "shop.products")
    aisle("attach", "items", "shop.products", "--manufacturer", "manufacturer", "--category", "category")
    aisle(*TRAIN)
    return name


@pytest.fixture
def shop(server: Server, trained: str) -> Iterator[Aisle]:
    """`aisle` on a shop of its own with a live model."""
    with server.database(f"template {trained} strategy file_copy") as url:
        aisle = Aisle(url)
        yield aisle
        aisle.stop_all()
