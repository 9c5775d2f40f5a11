"""Training: `aisle train`, `label`, `experiment`."""

import contextlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from aisle.commands import Database, json_option, pass_database, print_dicts, print_json, print_rows
from aisle.commands.models import TASKS
from aisle.commands.progress import transfer_progress
from aisle.sql import registry


@click.group()
def train() -> None:
    """Train a model on the attached tables."""


_TEXT_OPTIONS = (
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
    click.option("--max-length", type=int, help="Tokens that the encoder reads.  [default: 48; of a review: 128]"),
    click.option("--learning-rate", type=float, help="Peak learning rate of the encoder."),
    click.option("--precision", default="auto", show_default=True, type=click.Choice(["auto", "fp32", "bf16", "fp16"])),
    click.option(
        "--early-stopping", default=2, show_default=True, help="Stop after so many epochs without a gain; 0: never."
    ),
    click.option("--fit-in", metavar="MEMORY", help="Choose what makes training fit, for example 8GB."),
    click.option("--seed", default=7, show_default=True, help="Same seed, same machine: same model."),
)


def _with_options(options: Sequence[Callable[..., Any]]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add options that several commands have."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@train.command("category")
@_with_options(_TEXT_OPTIONS)
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

    from aisle.trainers import category

    options = replace(
        _text(category.Options(), **given),
        split_column=split_column,
        min_rows=min_rows,
        baseline=baseline,
        deploy=deploy,
    )
    result = category.train(database.url, options, _progress(database))
    if as_json:
        print_json(vars(result))
        return
    names = ("accuracy", "macro_f1", "student_accuracy", "student_macro_f1", "ece")
    if result.metrics:
        print_rows(
            ["of the held-out items", *names],
            [
                (who, *(m.get(name) for name in names))
                for who, m in [(f"model {result.model_id}", result.metrics), *result.metrics.items()]
                if isinstance(m, dict) and names[0] in m
            ],
            as_json=False,
        )
    _tell(result, "aisle predict-category 'a product name'")


def _tell(result: Any, question: str) -> None:
    """Say whether a model answers, and why."""
    click.echo(
        f"Model {result.model_id} is live: {result.reason}. Try: {question}"
        if result.deployed
        else f"Model {result.model_id} is not deployed: {result.reason}. "
        f"Let it answer: aisle deploy {result.model_id}{'' if result.passed is not False else ' --force'}"
    )


@train.command("preference")
@click.option("--liked-from", type=float, help="The least rating that means liked, such as 4.")
@click.option("--liked", multiple=True, help="A rating that means liked, such as good; repeatable.")
@_with_options(_TEXT_OPTIONS)
@click.option(
    "--deploy/--no-deploy",
    default=None,
    help="Let it label when it is ready.  [default: if no model is live, and it beats the more frequent answer]",
)
@json_option
@pass_database
def train_preference(
    database: Database, /, liked_from: float | None, liked: tuple[str, ...], deploy: bool | None, as_json: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Train review → liked or not, on the reviews with a rating, and publish it."""
    from dataclasses import replace

    from aisle.trainers import preference

    options = replace(_text(preference.Options(), **given), liked_from=liked_from, liked=liked, deploy=deploy)
    result = preference.train(database.url, options, _progress(database))
    if as_json:
        print_json(vars(result))
        return
    answers = [(f"model {result.model_id}", result.metrics), ("majority", result.metrics["majority"])]
    print_dicts(preference.table(answers), as_json=False)
    _tell(result, "aisle label reviews")


def _text(options: Any, *, encoder: str, seed: int, **given: Any) -> Any:
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
        fine_tuning=replace(options.fine_tuning, **given),
    )


def _progress(database: Database) -> Callable[[str], None]:
    """Return what tells how training goes, on stderr."""
    with database.connect():
        pass  # a schema of the wrong version is said before anything is trained
    from aisle.trainers import run

    if not run.is_leader():
        return lambda line: None  # of the processes that share a run, one tells
    started = time.monotonic()
    return lambda line: click.echo(f"{time.monotonic() - started:6.1f} s  {line}", err=True)


@click.command()
@click.argument("task", type=click.Choice(TASKS), required=False)
@click.option("--if-stale", is_flag=True, help="Only where the shop has moved on by more than the limits; for cron.")
@click.option(
    "--new-rows",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0),
    help="Limit: share of the rows that came, changed or went since the last training.",
)
@click.option(
    "--mix",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Limit: share of the items that would have to change their category for the mix to be as it was.",
)
@click.option(
    "--confidence",
    default=0.05,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Limit: how much less sure the category model is of new items than of those it was measured on.",
)
@pass_database
def retrain(
    database: Database, task: str | None, if_stale: bool, new_rows: float, mix: float, confidence: float
) -> None:
    """Train what is live again, and deploy it if it is better.

    The settings are those of the live model. The exit code is 0 whether anything is trained and deployed or not.
    """
    from aisle.trainers import staleness

    limits = staleness.Limits(new_rows, mix, confidence)
    report = _progress(database)
    with database.connect() as connection:
        tasks = [task] if task else [name for name in TASKS if registry.live(connection, name) is not None]
        if not tasks:
            click.echo("No model is live. Train one: aisle train category")
        for name in tasks:
            if if_stale:
                reasons = staleness.examine(connection, name).reasons(limits)
                click.echo(f"{name}: {'stale, ' + '; '.join(reasons) if reasons else 'not stale'}.")
                if not reasons:
                    continue
            result = staleness.retrain(connection, database.url, name, report)
            click.echo(
                f"Model {result.model_id} ({name}) is {'live' if result.deployed else 'not deployed'}: {result.reason}."
            )


@click.group()
def label() -> None:
    """Say what rows mean that do not say it themselves."""


@label.command("reviews")
@json_option
@pass_database
def label_reviews(database: Database, as_json: bool) -> None:
    """Label reviews without a rating as liked or not, by the live model.

    A text that has its label is left alone: run it again after new reviews, or after it was stopped.
    """
    from aisle.trainers import preference

    with database.connect() as connection, transfer_progress("Labelling") as progress:
        result = preference.label(connection, lambda texts: progress(texts, None))
    if as_json:
        print_json(vars(result))
        return
    click.echo(
        f"{result.liked + result.not_liked:,} texts labelled: {result.liked:,} liked, {result.not_liked:,} not liked. "
        "Next: aisle train recommender --positives liked"
    )


_RECOMMENDER_OPTIONS = (
    click.option(
        "--positives",
        default="all",
        show_default=True,
        type=click.Choice(["all", "liked"]),
        help="What is to be foreseen: all events, or those that the user liked, by rating or label.",
    ),
    click.option(
        "--repeats",
        is_flag=True,
        help="Users come back to the same items, such as stores, and are to be shown them again.",
    ),
    click.option("--dimensions", default=64, show_default=True, help="Of the vectors."),
    click.option(
        "--members", default=1, show_default=True, help="Models of so many seeds, joined into one: longer vectors."
    ),
    click.option("--history", default=50, show_default=True, help="How many of a user's last events count."),
    click.option(
        "--unordered",
        is_flag=True,
        help="Learn from sets of events; for tables whose times say nothing about the order.",
    ),
    click.option("--epochs", type=click.IntRange(min=1), help="Passes over the events, at most."),
    click.option("--batch-size", type=click.IntRange(min=1), help="Events (with --unordered: users) a step."),
    click.option("--learning-rate", type=float, help="Of Adam."),
    click.option("--test-from", type=click.DateTime(), help="Hold out what came later.  [default: the last event]"),
    click.option("--validate-from", type=click.DateTime(), help="The same for validation."),
    click.option("--top", default=10, show_default=True, type=click.IntRange(min=1), help="Measure the first so many."),
    click.option("--seed", default=7, show_default=True, help="Same seed, same machine: same model."),
)


@train.command("recommender")
@click.option(
    "--features",
    help="What to learn from, separated by commas: user, item, category, text, hour, weekday, meal_slot, and attached "
    "context columns.  [default: user,item, and category and text where there are any]",
)
@_with_options(_RECOMMENDER_OPTIONS)
@click.option(
    "--deploy/--no-deploy",
    default=None,
    help="Let it answer when it is ready.  [default: if it beats the live model and the baselines]",
)
@json_option
@pass_database
def train_recommender(
    database: Database, /, features: str | None, deploy: bool | None, as_json: bool, **given: Any
) -> None:
    """Train user → items and publish it."""
    from dataclasses import replace

    from aisle.trainers import recommender

    options = replace(_recommender(**given), features=_names(features) if features else None, deploy=deploy)
    result = recommender.train(database.url, options, _progress(database))
    if as_json:
        print_json(vars(result))
        return
    name = f"recall@{options.top}"
    print_rows(
        ["of the held-out users' items", name, f"hit@{options.top}", f"ndcg@{options.top}"],
        [
            (who, m[name], m[f"hit@{options.top}"], m[f"ndcg@{options.top}"])
            for who, m in [(f"model {result.model_id}", result.metrics), *result.metrics.items()]
            if isinstance(m, dict) and name in m
        ],
        as_json=False,
    )
    _tell(result, "aisle recommend USER")


_BASKET_OPTIONS = (
    click.option(
        "--model",
        default="taste",
        show_default=True,
        type=click.Choice(["taste", "cnn-gru", "attention-gru"]),
        help="What makes a customer's state: a sum of vectors, or a network over the orders.",
    ),
    click.option(
        "--test-share",
        default=0.2,
        show_default=True,
        type=click.FloatRange(0, 1, min_open=True),
        help="Share of the customers whose last order is held out.",
    ),
    click.option("--neighbours", default=200, show_default=True, type=click.IntRange(1, 1000), help="Customers asked."),
    click.option(
        "--text-vectors", is_flag=True, help="Start products' vectors from their texts'; needs a category model."
    ),
    click.option("--n-orders", type=click.IntRange(min=1), help="Last orders that the network reads.  [default: 50]"),
    click.option("--dimensions", type=click.IntRange(min=1), help="Of products' vectors and states.  [default: 64]"),
    click.option("--hidden", type=click.IntRange(min=1), help="Units of its layers.  [default: 128]"),
    click.option("--heads", type=click.IntRange(min=1), help="Of attention.  [default: 4]"),
    click.option("--layers", type=click.IntRange(min=1), help="Of attention.  [default: 1]"),
    click.option("--dropout", type=click.FloatRange(0, 1, max_open=True), help="Of the network.  [default: 0.3]"),
    click.option(
        "--loss", type=click.Choice(["softmax", "bce"]), help="Of the network.  [default: softmax; in experiments bce]"
    ),
    click.option("--epochs", type=click.IntRange(min=1), help="Passes over the orders, at most.  [default: 4]"),
    click.option("--batch-size", type=click.IntRange(min=1), help="Customers a step.  [default: 64]"),
    click.option("--learning-rate", type=float, help="Peak of the network's.  [default: 0.003]"),
    click.option("--top", default=10, show_default=True, type=click.IntRange(min=1), help="Measure the first so many."),
    click.option("--seed", default=7, show_default=True, help="Same seed, same machine: same model."),
)


def _basket(
    *, model: str, test_share: float, neighbours: int, text_vectors: bool, top: int, seed: int,
    deploy: bool | None = None, **given: Any,
) -> Any:  # fmt: skip
    from aisle.trainers import basket

    network = {name: value for name, value in given.items() if value is not None}
    return basket.Options(
        model=model,
        test_share=test_share,
        neighbours=neighbours,
        text_vectors=text_vectors,
        top=top,
        seed=seed,
        deploy=deploy,
        network=network,
    )


@train.command("basket")
@_with_options(_BASKET_OPTIONS)
@click.option("--pos-weight", type=float, help="Of a yes, with --loss bce.  [default: 1]")
@click.option(
    "--deploy/--no-deploy",
    default=None,
    help="Let it answer when it is ready.  [default: if it beats the live model, own frequency and TIFU-KNN]",
)
@json_option
@pass_database
def train_basket(database: Database, /, as_json: bool, **given: Any) -> None:
    """Train orders → the next order and publish it."""
    from aisle.trainers import basket

    options = _basket(**given)
    result = basket.train(database.url, options, _progress(database))
    if as_json:
        print_json(vars(result))
        return
    names = [f"{name}@{options.top}" for name in ("recall", "ndcg", "phr", "f1")]
    print_rows(
        ["of the held-out orders", *names],
        [
            (who, *(m[name] for name in names))
            for who, m in [(f"model {result.model_id}", result.metrics), *result.metrics.items()]
            if isinstance(m, dict) and names[0] in m
        ],
        as_json=False,
    )
    _tell(result, "aisle next-basket USER")


@click.group()
def experiment() -> None:
    """Compare ways to train, over seeds, and say what is shown."""


@experiment.command("recommender")
@click.option(
    "--features", "arms", multiple=True, required=True, help="A set of features, separated by commas; at least twice."
)
@_with_options(_RECOMMENDER_OPTIONS)
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(min=1), help="Models a set of features.")
@json_option
@pass_database
def experiment_recommender(
    database: Database, /, arms: tuple[str, ...], seeds: int, as_json: bool, **given: Any
) -> None:
    """Compare sets of features on the same held-out users; nothing is deployed."""
    from aisle.trainers import experiment as experiments

    with database.connect():
        pass
    table = experiments.compare_features(
        database.url,
        [_names(arm) for arm in arms],
        seeds,
        _recommender(**given),
        lambda line: click.echo(line, err=True),
    )
    print_rows(
        ["features", f"recall@{given['top']}", "sd", "difference", "p", "verdict"],
        [(",".join(a.features), a.mean, a.sd, a.difference, a.p, a.verdict) for a in table],
        as_json,
    )


@experiment.command("basket")
@click.option(
    "--grid",
    "grids",
    multiple=True,
    required=True,
    metavar="OPTION=VALUE,…",
    help="Values to try, such as pos_weight=5,10 or threshold=.1,.2; repeatable, and every combination is tried.",
)
@_with_options(_BASKET_OPTIONS)
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(min=1), help="Networks a combination.")
@json_option
@pass_database
def experiment_basket(database: Database, /, grids: tuple[str, ...], seeds: int, as_json: bool, **given: Any) -> None:
    """Try networks on the same held-out customers; what was finished before is not fitted again."""
    from aisle.trainers import basket_experiment

    with database.connect():
        pass
    options = _basket(**given)
    arms = basket_experiment.try_networks(
        database.url, _grid(grids), seeds, options, lambda line: click.echo(line, err=True)
    )
    rows = [{**arm.settings, **arm.means} for arm in arms]
    print_rows(list(rows[0]), [list(row.values()) for row in rows], as_json)


def _grid(pairs: tuple[str, ...]) -> dict[str, list[Any]]:
    grid = {}
    for pair in pairs:
        name, equals, values = pair.partition("=")
        if not equals or not values:
            raise click.BadParameter(f"{pair!r} is not OPTION=VALUE,VALUE.", param_hint="--grid")
        grid[name.replace("-", "_")] = [_value(value) for value in values.split(",")]
    return grid


def _value(text: str) -> Any:
    for read in (int, float):
        with contextlib.suppress(ValueError):
            return read(text)
    return {"true": True, "false": False}.get(text.lower(), text)


def _names(features: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in features.split(","))


def _recommender(
    *, positives: str, repeats: bool, unordered: bool, test_from: datetime | None, validate_from: datetime | None,
    top: int, seed: int, **given: Any,
) -> Any:  # fmt: skip
    from aisle.trainers import recommender, towers

    return recommender.Options(
        liked_only=positives == "liked",
        repeats=repeats,
        test_from=_seconds(test_from),
        validate_from=_seconds(validate_from),
        top=top,
        seed=seed,
        tower_options=towers.Options(
            order="set" if unordered else "time",
            evaluate_at=top,
            **{name: value for name, value in given.items() if value is not None},
        ),
    )


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.replace(tzinfo=UTC).timestamp()
