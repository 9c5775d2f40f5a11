"""Options of the preference model."""

from dataclasses import dataclass, field
from typing import ClassVar

from aisle.trainers.category.options import FineTuningOptions, NgramOptions, TextOptions
from aisle.trainers.options import of_one_run, option

DIMENSIONS = 16  # of the n-gram model; two categories need no more
MAX_LENGTH = 128  # tokens that an encoder reads of a review


@dataclass(frozen=True, kw_only=True)
class Options(TextOptions):
    """Train the preference model on reviews with a rating."""

    liked_from: float | None = option(None, "Lowest rating that means liked, such as 4.")
    # Without both, the column of ratings must be boolean.
    liked: tuple[str, ...] = option((), "Rating that means liked, such as good; repeatable.")
    ngram: NgramOptions = field(default_factory=lambda: NgramOptions(dimensions=DIMENSIONS))
    fine_tuning: FineTuningOptions = field(default_factory=lambda: FineTuningOptions(max_length=MAX_LENGTH))
    deploy: bool | None = of_one_run(
        None, "Make the model live.", used_in="train", shown="if no model is live and it beats the majority class"
    )

    place: ClassVar[int] = 4
    rows_held_out: ClassVar[str] = "held-out reviews"
    question: ClassVar[str] = "aisle label reviews"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1", "auc", "ece")
