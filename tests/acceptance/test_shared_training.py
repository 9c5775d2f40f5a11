"""Several processes train one model: `torchrun … -m aisle.cli train …`."""

import subprocess
import sys

import pytest

from tests.acceptance.conftest import PATIENCE, Aisle

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "aisle.cli")


def share(aisle: Aisle, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*TORCHRUN, *arguments],
        env=aisle.environment() | {"OMP_NUM_THREADS": "1"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
    )


@pytest.fixture
def visited(aisle: Aisle) -> Aisle:
    """Forty users, each with eight of the ten items of one colour."""
    aisle.query(
        "create table products (id integer primary key, name text);"
        " insert into products select i, 'product ' || i from generate_series(0, 39) i;"
        " create table visits (user_id integer, item_id integer, created_at timestamptz);"
        " insert into visits select u, 10 * (u % 4) + (u / 4 + e) % 10, now() - (8 - e) * interval '1 hour'"
        " from generate_series(0, 39) u, generate_series(0, 7) e"
    )
    aisle("attach", "items", "products")
    aisle("attach", "interactions", "visits")
    return aisle


def test_processes_that_share_a_training_load_one_model(visited: Aisle) -> None:
    done = share(visited, "train", "recommender", "--model", "towers", "--epochs", "2", "--deploy")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("is live") == 1, "One process tells what came of it."
    assert done.stderr.count("epoch 1/") == 2, "One process tells how far it is, in the first fit and in the second."
    assert [(m["task"], m["state"]) for m in visited.json("models")] == [("recommender", "live")]
    assert visited.json("recommend", "7")


def test_an_experiment_is_refused_to_a_second_process(visited: Aisle) -> None:
    done = share(visited, "experiment", "recommender", "--features", "user,item", "--features", "item", "--epochs", "1")
    assert done.returncode != 0
    assert "Another training run or migration is going on" in done.stderr
