"""Folders of models' files: a living process keeps its own, and a killed one leaves none for long."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aisle.embedder import model_folders
from aisle.embedder.model_folders import model_folder

LOADER = """
import time
from aisle.embedder.model_folders import model_folder
with model_folder() as folder:
    (folder / "model.safetensors").write_bytes(bytes(1000))
    print(folder, flush=True)
    time.sleep(60)
"""

Loader = tuple[subprocess.Popen[str], Path]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Loader]]:
    """`start()` begins a process that loads a model for a minute; return it, and its folder."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    processes: list[subprocess.Popen[str]] = []

    def start_() -> Loader:
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        process = subprocess.Popen([sys.executable, "-c", LOADER], stdout=subprocess.PIPE, text=True, env=environment)
        processes.append(process)
        assert process.stdout is not None
        return process, Path(process.stdout.readline().strip()).parent

    yield start_
    for process in processes:
        with process:
            process.kill()


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_what_a_killed_process_left_goes_with_the_next_load_and_not_what_a_living_one_has(
    start: Callable[[], Loader], tmp_path: Path
) -> None:
    (killed, left), (_, kept) = start(), start()
    with model_folder():
        assert left.exists()
    kill(killed)
    assert (left / "files" / "model.safetensors").exists(), "It had no time to tidy up."
    with model_folder() as own:
        assert {path.name for path in tmp_path.iterdir()} == {kept.name, own.parent.name}
        assert (kept / "files" / "model.safetensors").exists()
    assert list(tmp_path.iterdir()) == [kept], "What was lent is given back."


def test_nothing_else_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    young, old, other = (tmp_path / "temporary" / name for name in ("aisle-model-young", "aisle-model-old", "other"))
    elsewhere = tmp_path / "elsewhere"
    for folder in (young, old, other, elsewhere):
        folder.mkdir(parents=True)
        (folder / "model.safetensors").touch()
    (elsewhere / model_folders.LOCK).touch()
    (tmp_path / "temporary" / "aisle-model-link").symlink_to(elsewhere)
    os.utime(old, (time.time() - 2 * model_folders.LOCKED_AFTER,) * 2)
    with model_folder():
        pass
    left = sorted(path.name for path in (tmp_path / "temporary").iterdir())
    assert left == ["aisle-model-link", "aisle-model-young", "other"], "One without a lock may be about to get it."
    assert (elsewhere / "model.safetensors").exists()
