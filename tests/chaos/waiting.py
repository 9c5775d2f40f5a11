"""Waits for other processes."""

import time
from collections.abc import Callable

PATIENCE = 60  # seconds


def wait_until(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"It did not happen within {patience:g} s: {what}"
        time.sleep(0.05)
