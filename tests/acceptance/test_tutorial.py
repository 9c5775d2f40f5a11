"""The tutorial, word for word, on a fresh demo database: each command and each query prints what the page shows.

    AISLE_DATABASE_URL=… python -m tests.acceptance.test_tutorial

runs it on an empty database and writes the outputs into docs/tutorial.md and docs/tutorial.ko.md.

A `console` block holds commands after `$`, each followed by what it prints on stdout. An `sql` block is given to psql;
the `text` block after it is what psql prints. What may differ between machines:

- decimals, by TOLERANCE: processors round differently, so that trained vectors do;
- what "…" stands for: any text within a line, any lines where it stands alone;
- after `<!-- rows differ -->`, the rows: the heading and the number of rows must be those of the page.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.conftest import PROGRAM
from tests.conftest import Server

PAGES = [Path(__file__).parents[2] / "docs" / name for name in ("tutorial.md", "tutorial.ko.md")]
TOLERANCE = 0.1  # of a decimal
PATIENCE = 600  # seconds, for a command
BLOCK = re.compile(
    r"(?P<differs><!-- rows differ -->\n)?```(?P<kind>console|sql)\n(?P<body>.*?)^```$"
    r"(?:\n\n```text\n(?P<output>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
DECIMAL = re.compile(r"-?\d*\.\d+")


@dataclass(frozen=True)
class Step:
    """A command or a block of SQL, and its output on the page."""

    text: str
    output: str
    is_sql: bool
    rows_differ: bool


def steps(page: str) -> list[Step]:
    found = []
    for match in BLOCK.finditer(page):
        if match["kind"] == "sql":
            found.append(Step(match["body"], match["output"] or "", True, bool(match["differs"])))
        else:
            for command in re.split(r"^\$ ", match["body"], flags=re.MULTILINE)[1:]:
                line, _, output = command.partition("\n")
                found.append(Step(line, output, False, bool(match["differs"])))
    return found


def words(line: str) -> list[str]:
    """Return a line's words; a rule of dashes is as long as the widest cell, so its length tells nothing."""
    return re.sub(r"-{2,}", "--", line).split()


def is_like(shown: str, printed: str) -> bool:
    """Return whether two words are the same, or two decimals within TOLERANCE."""
    if DECIMAL.fullmatch(shown) and DECIMAL.fullmatch(printed):
        return abs(float(shown) - float(printed)) <= TOLERANCE
    return re.fullmatch(".*".join(map(re.escape, shown.split("…"))), printed) is not None


def are_like(shown: list[str], printed: list[str]) -> bool:
    if "…" in shown[-1:]:
        shown, printed = shown[:-1], printed[: len(shown) - 1]
    return len(shown) == len(printed) and all(map(is_like, shown, printed))


def is_as_shown(step: Step, printed: str) -> bool:
    expected = [words(line) for line in step.output.splitlines() if line.strip()]
    found = [words(line) for line in printed.splitlines() if line.strip()]
    if step.rows_differ:
        return expected[0] == found[0] and expected[-1] == found[-1] and len(expected) == len(found)
    if ["…"] not in expected:
        return len(expected) == len(found) and all(map(are_like, expected, found))
    # Each line that is shown comes, in this order, among those that are printed.
    rest = iter(found)
    return all(any(are_like(line, other) for other in rest) for line in expected if line != ["…"])


def run(step: Step, url: str, psql: Path, folder: Path) -> str:
    """Run a step, which must succeed; return its stdout."""
    arguments = [str(psql), "-X", "-v", "ON_ERROR_STOP=1", url] if step.is_sql else shlex.split(step.text)
    if not step.is_sql:
        assert arguments[0] == "aisle"
        arguments[0] = str(PROGRAM)
    done = subprocess.run(
        arguments,
        input=step.text if step.is_sql else None,
        capture_output=True,
        text=True,
        env={**os.environ, "AISLE_DATABASE_URL": url, "PGCLIENTENCODING": "UTF8"},
        cwd=folder,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, f"{step.text}\n{done.stderr}"
    return done.stdout


@pytest.mark.timeout(1800)
def test_each_step_prints_what_the_tutorial_shows(server: Server, empty_url: str, tmp_path: Path) -> None:
    wrong = []
    for step in steps(PAGES[0].read_text(encoding="utf-8")):
        printed = run(step, empty_url, server.program("psql"), tmp_path)
        if not is_as_shown(step, printed):
            wrong.append(f"{step.text}\nshown:\n{step.output}\nprinted:\n{printed}")
    assert not wrong, "\n".join(["Renew the tutorial: python -m tests.acceptance.test_tutorial", *wrong])


def test_the_korean_tutorial_has_the_same_steps() -> None:
    english, korean = (steps(page.read_text(encoding="utf-8")) for page in PAGES)
    assert korean == english


@pytest.mark.parametrize(
    ("shown", "printed", "expected"),
    [
        ("a .95\n", "a .97\n", True),
        ("a .95\n", "a .75\n", False),
        ("a 1\n", "a 2\n", False),
        ("Model 4 is …\n", "Model 4 is not deployed.\n", True),
        ("…\nlast\n", "first\nlast\n", True),
        ("…\nlast\n", "first\n", False),
        (" a | b\n---+---\n 1 | 2\n", " a | b\n----+---\n 1 | 2\n", True),
    ],
)
def test_only_decimals_and_what_is_left_out_may_differ(shown: str, printed: str, expected: bool) -> None:
    assert is_as_shown(Step("", shown, True, False), printed) is expected


def renewed(page: str, outputs: Callable[[Step], str]) -> str:
    """Return a page with the outputs of its SQL blocks written anew."""

    def block(match: re.Match[str]) -> str:
        if match["kind"] == "console" or match["output"] is None:
            return match[0]
        step = Step(match["body"], match["output"], True, bool(match["differs"]))
        printed = "\n".join(line.rstrip() for line in outputs(step).strip("\n").splitlines())
        return f"{match['differs'] or ''}```sql\n{match['body']}```\n\n```text\n{printed}\n```"

    return BLOCK.sub(block, page)


if __name__ == "__main__":
    import shutil
    import tempfile

    psql = shutil.which("psql")
    assert psql, "There is no psql."
    printed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for step in steps(PAGES[0].read_text(encoding="utf-8")):
            printed[step.text] = run(step, os.environ["AISLE_DATABASE_URL"], Path(psql), Path(folder))
            sys.stderr.write(f"{step.text}\n{printed[step.text]}\n")
    for page in PAGES:
        if page.exists():
            page.write_text(renewed(page.read_text("utf-8"), lambda step: printed[step.text]), encoding="utf-8")
