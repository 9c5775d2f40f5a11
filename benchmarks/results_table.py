"""Prints the tables of docs/results.md from benchmarks/results.json.

python benchmarks/results_table.py            # print them
python benchmarks/results_table.py --write    # put them into docs/results.md
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).parents[1] / "docs/results.md"
HEADING = "| data and measure | ours | strongest baseline | target | | run |"
TABLE = re.compile(r"^\| data and measure .*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def table(task: dict[str, Any]) -> str:
    """Return a task's table, and under it the runs that its rows refer to by a letter."""
    lines = [HEADING, "|---|---|---|---|---|---|"]
    for row in task["rows"]:
        cells = [row[key] for key in ("measure", "ours", "baseline", "target", "verdict", "run")]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Runs:", ""]
    for letter, run in task["runs"].items():
        lines += [f"- {letter}: {run['seeds']}, commit {run['commit']}", f"  `{run['command']}`"]
    return "\n".join(lines) + "\n"


def tables() -> dict[str, str]:
    """Return the table of each task by the heading that it stands under."""
    return {task["task"]: table(task) for task in json.loads(RESULTS.read_text(encoding="utf-8"))["tasks"]}


def written(page: str) -> str:
    """Return the page with each table as the figures have it now."""
    parts = re.split(r"(?m)^(?=## )", page)
    for number, part in enumerate(parts):
        text = tables().get(part.partition("\n")[0].removeprefix("## "))
        if text is not None:
            parts[number] = TABLE.sub(lambda _, text=text: f"{text}\n", part).rstrip("\n") + "\n\n"
    return "".join(parts).rstrip("\n") + "\n"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        for heading, text in tables().items():
            print(f"## {heading}\n\n{text}")
