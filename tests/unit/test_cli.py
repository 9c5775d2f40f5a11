"""Whatever a command throws, a person reads one sentence, and the trace only if they ask for it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import psycopg
import pytest
from sqlalchemy.exc import ProgrammingError

from aisle import cli
from aisle.commands import logs

PROGRAM = Path(sys.executable).with_name("aisle")
URL = "postgresql://nobody@127.0.0.1:1/nowhere"
SEE = "Run it again as `aisle -v …` to see the trace. If the error stays, report it with the trace."


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield the path of each command that does something, with the command."""
    if isinstance(command, click.Group):
        for name, member in command.commands.items():
            yield from leaves(member, (*path, name))
    else:
        yield path, command


COMMANDS = dict(leaves(cli.aisle))


@pytest.fixture(autouse=True)
def _text_logs() -> Iterator[None]:
    yield
    logs.use("text")


def run(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    path: tuple[str, ...],
    error: BaseException,
    *options: str,
) -> tuple[int, str]:
    """Run a command that throws the error; return its exit code, and what it wrote to stderr."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(COMMANDS[path], "callback", fail)
    monkeypatch.setattr(COMMANDS[path], "params", [])
    monkeypatch.setattr(sys, "argv", ["aisle", *options, *path])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert isinstance(caught.value.code, int)
    return caught.value.code, capfd.readouterr().err


def test_the_tree_is_walked() -> None:
    assert {("import", "items"), ("train", "category"), ("db", "start"), ("worker",)} <= set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_an_unexpected_error_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], path: tuple[str, ...]
) -> None:
    code, said = run(monkeypatch, capfd, path, RuntimeError("boom\n  in the engine."))
    assert code == 1
    assert said == f"Error: Unexpected RuntimeError: boom in the engine.\n{SEE}\n"
    code, said = run(monkeypatch, capfd, path, RuntimeError("boom"), "-v")
    assert code == 1
    assert "Traceback" in said
    assert said.endswith(f"Error: Unexpected RuntimeError: boom.\n{SEE}\n")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (KeyError("x"), "Unexpected KeyError: 'x'."),
        (AssertionError(), "Unexpected AssertionError."),
        (MemoryError(), "Unexpected MemoryError."),
        (RecursionError("too deep"), "Unexpected RecursionError: too deep."),
        (ExceptionGroup("two", [ValueError("a")]), "Unexpected ExceptionGroup: two (1 sub-exception)."),
        (OSError(28, "No space left on device", "/x/y"), "The system says: No space left on device (/x/y)."),
        (PermissionError(13, "Permission denied"), "The system says: Permission denied."),
        (
            ProgrammingError("select 1", None, psycopg.errors.SyntaxError("syntax error")),
            "The database says: syntax error.",
        ),
        (
            UnicodeEncodeError("utf-8", "x \udcb0\udca1", 2, 4, "surrogates not allowed"),
            r"The command line or an environment variable has bytes that are not UTF-8: \xb0\xa1.",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)  # fmt: skip
def test_sentences(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: Exception, sentence: str
) -> None:
    code, said = run(monkeypatch, capfd, ("status",), error)
    assert code == 1
    assert said.splitlines()[0] == f"Error: {sentence}"
    assert "Traceback" not in said


def test_a_json_log_has_the_sentence_too(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logs._handler, "stream", sys.stderr)
    code, _ = run(monkeypatch, capfd, ("status",), RuntimeError("boom"), "--log-format", "json")
    assert code == 1
    event = json.loads(logs.JsonFormatter().format(caplog.records[-1]))
    assert (event["level"], event["message"], event["hint"]) == ("error", "Unexpected RuntimeError: boom.", SEE)
    assert "trace" not in event


def test_interrupts_are_no_errors(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    code, said = run(monkeypatch, capfd, ("status",), KeyboardInterrupt())
    assert (code, said.strip()) == (130, "Stopped.")


@pytest.mark.parametrize(
    "arguments",
    [
        (b"predict-category", b"\xb0\xa1\xb3\xaa"),
        (b"recommend", b"\xb0\xa1"),
        (b"search", b"\xb0\xa1"),
        (b"import", b"items", b"\xb0\xa1.csv"),
        (b"attach", b"items", b"\xb0\xa1"),
        (b"train", b"\xb0\xa1"),
        (b"\xb0\xa1",),
        (b"--database-url", b"postgresql:///\xb0\xa1", b"status"),
    ],
    ids=repr,
)
def test_bytes_that_are_no_text_on_the_command_line(arguments: tuple[bytes, ...]) -> None:
    done = subprocess.run(
        [os.fsencode(PROGRAM), *arguments], capture_output=True, env={**os.environ, "AISLE_DATABASE_URL": URL}
    )
    assert done.returncode in (1, 2), done
    assert b"Error: " in done.stderr
    assert b"Traceback" not in done.stderr
