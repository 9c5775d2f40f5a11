"""`aisle train recommender` and `aisle experiment recommender`."""

from datetime import UTC, datetime
from typing import Any

import click

from aisle.commands import Database, json_option, pass_database, print_rows
from aisle.commands.train_options import WARM_START, progress, show, with_options

LONGEST = 2000  # dimensions that a generation may have; each member may need one beside its own
HELD_OUT = "Hold out what users did from then on who were there before.  [default: each user's last event]"

OPTIONS = (
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
    click.option(
        "--dimensions", default=64, show_default=True, type=click.IntRange(1, LONGEST - 1), help="Of the vectors."
    ),
    click.option(
        "--members",
        default=1,
        show_default=True,
        type=click.IntRange(min=1),
        help="Models of so many seeds, joined into one: longer vectors.",
    ),
    click.option(
        "--history",
        default=50,
        show_default=True,
        type=click.IntRange(1, 1000),
        help="How many of a user's last events count.",
    ),
    click.option(
        "--unordered",
        is_flag=True,
        help="Learn from sets of events, whatever their order; only what is held out goes by time.",
    ),
    click.option("--epochs", type=click.IntRange(min=1), help="Passes over the events, at most."),
    click.option("--batch-size", type=click.IntRange(min=1), help="Events (with --unordered: users) a step."),
    click.option("--learning-rate", type=float, help="Of Adam."),
    click.option("--test-from", type=click.DateTime(), help=HELD_OUT),
    click.option("--validate-from", type=click.DateTime(), help="The same for validation."),
    click.option("--top", default=10, show_default=True, type=click.IntRange(min=1), help="Measure the first so many."),
    click.option("--seed", default=7, show_default=True, help="Same seed, same machine: same model."),
)


@click.command("recommender")
@click.option(
    "--features",
    help="What to learn from, separated by commas: user, item, category, text, location, hour, weekday, meal_slot, and "
    "attached context columns.  [default: user,item, and category, text and location where there are any]",
)
@click.option(
    "--model",
    default="best",
    show_default=True,
    type=click.Choice(["best", "towers", "ials"]),
    help="Two towers, a matrix factorisation (without contexts), or which of both finds more on validation.",
)
@with_options(OPTIONS)
@WARM_START
@click.option(
    "--deploy/--no-deploy",
    default=None,
    help="Let it answer when it is ready.  [default: if it beats the live model and the baselines; the first: if it "
    "beats all kinds of popularity and own history]",
)
@json_option
@pass_database
def train_recommender(
    database: Database,
    /,
    model: str,
    features: str | None,
    warm_start: bool,
    deploy: bool | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Train user → items and publish it."""
    from dataclasses import replace

    from aisle.trainers.recommender import task as recommender

    options = replace(
        _recommender(**given),
        model=model,
        features=_names(features) if features else None,
        warm_start=warm_start,
        deploy=deploy,
    )
    result = recommender.train(database.url, options, progress(database))
    names = [f"{name}@{options.top}" for name in ("recall", "hit", "ndcg")]
    show(result, "of the held-out users' items", names, "aisle recommend USER", as_json=as_json)


@click.command("recommender")
@click.option(
    "--features", "arms", multiple=True, required=True, help="A set of features, separated by commas; at least twice."
)
@with_options(OPTIONS)
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(min=1), help="Models a set of features.")
@json_option
@pass_database
def experiment_recommender(
    database: Database, /, arms: tuple[str, ...], seeds: int, as_json: bool, **given: Any
) -> None:
    """Compare sets of features of the towers on the same held-out users; nothing is deployed.

    A set that is chosen here looks better on these users than it is: measure it on later events.
    """
    from aisle.trainers.recommender import experiment as experiments

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
    click.echo(
        "The set that is chosen by these users looks better on them than it is: measure it on later events.", err=True
    )


def _names(features: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in features.split(","))


def _recommender(
    *, positives: str, repeats: bool, unordered: bool, test_from: datetime | None, validate_from: datetime | None,
    top: int, seed: int, **given: Any,
) -> Any:  # fmt: skip
    from aisle.trainers.recommender import task as recommender
    from aisle.trainers.recommender import towers

    if given["members"] * (given["dimensions"] + 1) > LONGEST:
        raise click.BadParameter(
            f"{given['members']} of {given['dimensions']} dimensions, and one more each, are more than {LONGEST:,}.",
            param_hint="--members",
        )
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
