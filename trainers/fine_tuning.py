"""Fine-tunes a sentence-transformers encoder for categories, with the Hugging Face Trainer."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aisle.embedder.encoders import Floats


@dataclass(frozen=True)
class FineTuningOptions:
    epochs: int = 6


@dataclass(frozen=True)
class FineTuned:
    folder: Path
    vectors: Floats
    weight: Floats
    bias: Floats
    parameters: dict[str, Any]


def fine_tune(*args: Any, seed: int, report: Callable[[str], None]) -> FineTuned:
    raise NotImplementedError
