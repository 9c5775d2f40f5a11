"""Models that cannot be used at present (out of memory, gone, broken), and when each is tried again."""

import logging
import random
import time

from aisle.embedder import queue

logger = logging.getLogger(__name__)

FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0  # seconds that a model which cannot be used is left alone; doubles


class UnusableModelError(Exception):
    """The model cannot be used at present."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Backoff:
    """The models that cannot be used, and when each is tried again."""

    def __init__(self) -> None:
        self._delays: dict[int, float] = {}
        self._until: dict[int, float] = {}
        self._errors: dict[int, Exception] = {}

    def note_failure(self, model_id: int, error: Exception) -> None:
        """Leave a model alone, for twice as long as the last time."""
        delay = min(2 * self._delays.get(model_id, FIRST_DELAY / 2), LONGEST_DELAY)
        self._delays[model_id], self._errors[model_id] = delay, error
        self._until[model_id] = time.monotonic() + delay * random.uniform(1, 1.5)  # noqa: S311  # jitter, no secret
        logger.warning("Model %s cannot be used, trying again in %g s: %s", model_id, delay, queue.text_of(error))

    def note_success(self, model_id: int) -> None:
        """Note that a model works."""
        for known in (self._delays, self._until, self._errors):
            known.pop(model_id, None)

    def seconds_left(self, model_id: int) -> float:
        """Return how long a model is to be left alone."""
        return max(self._until.get(model_id, 0) - time.monotonic(), 0.0)

    def error(self, model_id: int) -> Exception | None:
        """Return why a model cannot be used; None if another batch found meanwhile that it works again."""
        return self._errors.get(model_id)


def is_unusable(error: Exception) -> bool:
    """Return whether an error would meet any row: no memory, no disk, no connection."""
    return isinstance(error, MemoryError | OSError) or (
        # PyTorch says it so, on CPU and GPU.
        isinstance(error, RuntimeError)
        and any(sign in str(error).lower() for sign in ("out of memory", "can't allocate memory", "cuda error"))
    )
