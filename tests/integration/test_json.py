"""`--json` of every command has the shape that docs/json.md says."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from aisle import db, trainers
from aisle.cli import aisle
from aisle.trainers import run
from tests.conftest import Server
from tests.integration.test_task_contract import QUICK, fill

PAGE = Path(__file__).parents[2] / "docs/json.md"
ARGUMENTS = {
    "db status": "",
    "attachments": "",
    "doctor": "",
    "train …": "category --epochs 2 --no-baseline",
    "label reviews": "",
    "evaluate category": "--baseline",
    "evaluate preference": "--baseline",
    "evaluate recommender": "",
    "evaluate basket": "",
    "experiment recommender": "--features user,item --features item --seeds 1 --epochs 1",
    "experiment basket": "--grid epochs=1 --grid threshold=.2 --seeds 1",
    "models": "",
    "status": "",
    "failures": "",
    "apply category": "--dry-run",
    "predict-category": "tea",
    "predict-category --why": "tea",
    "item-category": "1",
    "similar": "1",
    "search": "tea",
    "recommend": "v1 --repeats",
    "recommend --why": "v1 --repeats",
    "next-basket": "v1",
    "next-basket --why": "v1",
}
KINDS: dict[str, tuple[type, ...]] = {
    "boolean": (bool,), "integer": (int,), "number": (int, float), "string": (str,), "time": (str,), "interval": (str,),
    "object": (dict,), "list": (list,),
}  # fmt: skip


def documented() -> dict[str, tuple[str, dict[str, str]]]:
    """Return shape and keys of each command in the table."""
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for command, shape, keys in re.findall(
        r"^\| (?:`aisle ([^`]+)`)? ?\| (\w*) ?\| (`.*) \|$", PAGE.read_text("utf-8"), re.M
    ):
        if command:
            found[command] = shape, {}
        groups = re.findall(r"((?:`[^`]+`,? )+)(\w+\??)", keys)
        last = list(found)[-1]  # a row without a command goes on
        found[last][1].update({key: kind for names, kind in groups for key in re.findall(r"`([^`]+)`", names)})
    return found


def with_json(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    if any("--json" in option.opts for option in command.params):
        yield " ".join(path)
    if isinstance(command, click.Group):
        for name, member in command.commands.items():
            yield from with_json(member, (*path, name))


def test_every_command_with_json_is_documented() -> None:
    known, there = (
        {re.sub(r"^(train|evaluate|experiment) .*", r"\1", name).removesuffix(" --why") for name in names}
        for names in (documented(), with_json(aisle))
    )
    assert known == there, "docs/json.md must have a row for each command with --json."
    assert documented().keys() == ARGUMENTS.keys()


@pytest.fixture(scope="module")
def url(server: Server, template: str) -> Iterator[str]:
    """A shop with a live model of each task, and one row that the worker gave up."""
    with server.database(f"template {template} strategy file_copy") as address, db.connect(address) as connection:
        fill(address, connection)
        connection.execute("update shop.visits set rating = null where product % 5 = 0")
        for name, options in QUICK.items():
            run.train(trainers.task_of(name), address, options)
        connection.execute(
            "insert into aisle._embedding_jobs (task, id, attempts, is_dead, last_error, enqueued_at, run_after)"
            " values ('category', '1', 5, true, 'out of memory', now(), now())"
        )
        connection.execute(
            """select aisle.set_write_back('{"column": "category", "threshold": 0.5}');
               update shop.products set category = null where id = 2"""
        )
        yield address


@pytest.mark.parametrize("command", ARGUMENTS)
def test_json_is_as_documented(url: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AISLE_HOME", str(tmp_path))
    words = [*command.removesuffix(" …").split(), *ARGUMENTS[command].split(), "--json"]
    done = CliRunner().invoke(aisle, ["--database-url", url, *words])
    assert done.stdout, done.exception
    answer: Any = json.loads(done.stdout)
    shape, keys = documented()[command]
    assert isinstance(answer, {"object": dict, "list": list}[shape])
    rows = answer if shape == "list" else [answer]
    assert rows, "The shop has too little for this command."
    for row in rows:
        assert list(row) == list(keys), f"Correct docs/json.md: aisle {command} has {described(rows)}"
        for key, value in row.items():
            kind = keys[key]
            fits = type(value) in KINDS[kind.rstrip("?")] or (value is None and kind.endswith("?"))
            assert fits, f"Correct docs/json.md: {key} of aisle {command} is {value!r}; {described(rows)}"


def described(rows: list[dict[str, Any]]) -> str:
    """Return the keys and types as the table has them."""
    names = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "list"}
    texts = []
    for key in rows[0]:
        values = [row[key] for row in rows]
        kinds = sorted({names[type(value)] for value in values if value is not None})
        texts.append(f"`{key}` {'/'.join(kinds)}{'?' if None in values else ''}")
    return ", ".join(texts)
