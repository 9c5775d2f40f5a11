"""Temporary folders for a model's files; those of killed processes are removed.

Each folder has a file that its process locks. The lock ends with the process, even if that is killed. Making a folder
removes those without a lock.
"""

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "aisle-model-"
LOCK = "lock"
LOCKED_AFTER = 60.0  # seconds; a folder without a lock by then was left by a process that was killed at once


@contextlib.contextmanager
def model_folder() -> Iterator[Path]:
    """Lend an empty folder, and remove those of processes that are gone."""
    if sys.platform == "win32":  # Windows has no such locks
        with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
            yield Path(folder)
        return
    _remove_leftovers()
    parent, lock = _make()
    try:
        files = parent / "files"
        files.mkdir()
        yield files
    finally:
        shutil.rmtree(parent, ignore_errors=True)
        os.close(lock)


def _make() -> tuple[Path, int]:
    """Return a new folder, and its lock, a descriptor to close."""
    import fcntl

    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            return folder, lock
        os.close(lock)  # another process has removed the folder meanwhile


def _remove_leftovers() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another process's, or gone
            _remove_if_left(folder)


def _remove_if_left(folder: Path) -> None:
    """Remove a folder that no process holds; raises OSError if one does."""
    import fcntl

    if folder.is_symlink():
        return
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        if time.time() - folder.stat().st_mtime > LOCKED_AFTER:
            shutil.rmtree(folder)
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(lock)
