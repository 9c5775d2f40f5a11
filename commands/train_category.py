"""`aisle train category`, and the options of whatever classifies texts."""

from typing import Any

import click

from aisle.commands import Database, json_option, pass_database
from aisle.commands.train_options import WARM_START, progress, show, with_options

TEXT_OPTIONS = (
    click.option(
        "--encoder",
        default="ngram",
        show_default=True,
        help="`ngram` (no download), a Hugging Face name, or a local folder.",
    ),
    click.option(
        "--epochs",
        type=click.IntRange(min=1),
        help="Passes of the encoder over the rows.  [default: 6; with ngram: 12]",
    ),
    click.option("--batch-size", type=click.IntRange(min=1), help="Rows a step."),
    click.option(
        "--gradient-accumulation",
        default=1,
        show_default=True,
        type=click.IntRange(min=1),
        help="Steps before an update.",
    ),
    click.option(
        "--max-length",
        type=click.IntRange(3),
        help="Tokens that the encoder reads, or as many as it can.  [default: 48; of a review: 128]",
    ),
    click.option(
        "--learning-rate", type=click.FloatRange(0, 1, min_open=True), help="Peak learning rate of the encoder."
    ),
    click.option("--precision", default="auto", show_default=True, type=click.Choice(["auto", "fp32", "bf16", "fp16"])),
    click.option(
        "--early-stopping", default=2, show_default=True, help="Stop after so many epochs without a gain; 0: never."
    ),
    click.option("--fit-in", metavar="MEMORY", help="Choose what makes training fit, for example 8GB."),
    click.option("--seed", default=7, show_default=True, help="Same seed, same machine: same model."),
)


@click.command("category")
@with_options(TEXT_OPTIONS)
@WARM_START
@click.option("--split-column", help="Column that says train, valid or test.  [default: by groups of near-equal names]")
@click.option("--min-rows", default=3, show_default=True, help="Leave categories with fewer labelled rows out.")
@click.option(
    "--baseline/--no-baseline",
    default=None,
    help="Compare it with TF-IDF + linear SVM.  [default: if that takes less than about 20 seconds]",
)
@click.option(
    "--deploy/--no-deploy",
    default=None,
    help="Let it answer when it is ready.  [default: if it beats the live model and the baseline, or if none is live]",
)
@json_option
@pass_database
def train_category(
    database: Database, /, split_column: str | None, min_rows: int, baseline: bool | None, deploy: bool | None,
    as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Train product → category and publish it."""
    from dataclasses import replace

    from aisle.trainers.category import task as category

    options = replace(
        text_options(category.Options(), **given),
        split_column=split_column,
        min_rows=min_rows,
        baseline=baseline,
        deploy=deploy,
    )
    result = category.train(database.url, options, progress(database))
    names = ("accuracy", "macro_f1", "student_accuracy", "student_macro_f1", "ece")
    show(result, "of the held-out items", names, "aisle predict-category 'a product name'", as_json=as_json)


def text_options(options: Any, *, encoder: str, seed: int, warm_start: bool, **given: Any) -> Any:
    """Return a text classifier's options with those that were given."""
    from dataclasses import replace

    given = {name: value for name, value in given.items() if value is not None}
    if encoder == "ngram":
        own = {name: given[name] for name in ("epochs", "batch_size") if name in given}
        options = replace(options, student=replace(options.student, **own))
    return replace(
        options,
        encoder=None if encoder == "ngram" else encoder,
        seed=seed,
        warm_start=warm_start,
        fine_tuning=replace(options.fine_tuning, **given),
    )
