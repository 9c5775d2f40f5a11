"""Exponential backoff for models that cannot be used at present (out of memory, gone, broken)."""

import logging
import random
import time

from aisle.embedder import queue

logger = logging.getLogger(__name__)

FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0  # seconds until an unusable model is tried again; doubles


class UnusableModelError(Exception):
    """The model cannot be used at present."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Backoff:
    """The unusable models, and when each is tried again."""

    def __init__(self) -> None:
        self._delays: dict[int, float] = {}
        self._until: dict[int, float] = {}
        self._errors: dict[int, Exception] = {}

    def note_failure(self, model_id: int, error: Exception) -> None:
        """Leave a model alone, twice as long as the last time."""
        delay = min(2 * self._delays.get(model_id, FIRST_DELAY / 2), LONGEST_DELAY)
        self._delays[model_id], self._errors[model_id] = delay, error
        self._until[model_id] = time.monotonic() + delay * random.uniform(1, 1.5)  # noqa: S311  # jitter, no secret
        logger.warning("Model %s cannot be used, trying again in %g s: %s", model_id, delay, queue.text_of(error))

    def note_success(self, model_id: int) -> None:
        """Record that a model works."""
        for known in (self._delays, self._until, self._errors):
            known.pop(model_id, None)

    def seconds_left(self, model_id: int) -> float:
        """Return the seconds until a model is tried again."""
        return max(self._until.get(model_id, 0) - time.monotonic(), 0.0)

    def error(self, model_id: int) -> Exception | None:
        """Return why a model cannot be used; None if it works again meanwhile."""
        return self._errors.get(model_id)


def is_unusable(error: Exception) -> bool:
    """Return whether an error concerns the model, not a row: no memory, no disk, no connection."""
    return isinstance(error, MemoryError | OSError) or (
        # PyTorch's messages, on CPU and GPU.
        isinstance(error, RuntimeError)
        and any(sign in str(error).lower() for sign in ("out of memory", "can't allocate memory", "cuda error"))
    )
