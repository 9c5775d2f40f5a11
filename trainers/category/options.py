"""Options of the category model, and of every classifier of texts."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from aisle.trainers import options
from aisle.trainers.options import TaskOptions, option

MIN_ROWS = 3  # a category with fewer labelled rows cannot be learned, calibrated and checked


@dataclass(frozen=True)
class NgramOptions:
    """Hyper-parameters of the n-gram model."""

    dimensions: int = 256
    epochs: int = option(12, "Number of passes over the rows.", at_least=1, shown="12; with an encoder: 6")
    batch_size: int | None = option(
        None,
        "Number of rows in a training step.",
        at_least=1,
        shown="64 or 256, by the number of rows; with an encoder: 64",
    )
    members: int | None = None  # models whose mean is taken; None: 4 for a small catalogue, else 1
    learning_rate: float = 0.005  # decays linearly to 0
    ngram_dropout: float = 0.5  # share of a text's n-grams left out at each step
    label_smoothing: float = 0.1
    weight_decay: float = 1e-5  # on the vectors that a batch touches
    initial_spread: float = 0.1  # standard deviation of the vectors at the start


@dataclass(frozen=True)
class FineTuningOptions:
    """Hyper-parameters of the encoder."""

    dimensions: int = 256
    epochs: int = option(6, "")  # the n-gram model's option has the help text
    batch_size: int = option(64, "")
    gradient_accumulation: int = option(1, "Number of training steps for each update of the weights.", at_least=1)
    max_length: int = option(
        48, "Largest number of tokens that the encoder reads of a text; its own limit may be lower.", at_least=3,
        shown="48; for reviews: 128",
    )  # fmt: skip
    learning_rate: float | None = option(
        None, "Peak learning rate of the encoder.", above=0, at_most=1, shown="2e-4 for a small encoder, else 3e-5"
    )
    head_learning_rate: float = 2e-3
    warm_up: float = 0.06  # share of the steps
    label_smoothing: float = 0.1
    precision: str = option("auto", "Floating-point precision.", choices=("auto", "fp32", "bf16", "fp16"))
    early_stopping: int = option(2, "Number of epochs without improvement before training stops; 0 never stops early.")
    fit_in: str | None = option(
        None, "Memory that training may use, such as 8GB; chooses settings that fit.", metavar="MEMORY"
    )
    gradient_checkpointing: bool = False
    freeze_word_embeddings: bool = False


@dataclass(frozen=True, kw_only=True)
class TextOptions(TaskOptions):
    """Options of every classifier of texts."""

    encoder: str | None = option(
        None, "Text encoder: `ngram` (no download), a Hugging Face name, or a local folder.", shown="ngram",
        parse=lambda name: None if name == "ngram" else name,
    )  # fmt: skip
    ngram: NgramOptions = field(default_factory=NgramOptions)
    fine_tuning: FineTuningOptions = field(default_factory=FineTuningOptions)

    def given(self, values: Mapping[str, Any]) -> Self:
        """Return these options with the values of the command line. An encoder takes the epochs and the batch size."""
        built = options.build(self, values)
        return built if built.encoder is None else replace(built, ngram=self.ngram)


@dataclass(frozen=True, kw_only=True)
class Options(TextOptions):
    """Train the category model on products."""

    split_column: str | None = option(
        None, "Column with the split of each row: train, valid or test.", shown="by groups of nearly equal names"
    )
    min_rows: int = option(MIN_ROWS, "Smallest number of labelled rows of a category; ignores smaller ones.")
    baseline: bool | None = options.of_one_run(
        None, "Compare with TF-IDF + linear SVM.", shown="if it takes less than about 20 seconds"
    )
    deploy: bool | None = options.of_one_run(
        None,
        "Make the model live.",
        used_in="train",
        shown="if it beats the live model and the baseline, or if no model is live",
    )

    place: ClassVar[int] = 1
    rows_held_out: ClassVar[str] = "held-out items"
    question: ClassVar[str] = "aisle predict-category 'a product name'"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1", "ngram_accuracy", "ngram_macro_f1", "ece")
