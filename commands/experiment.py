"""`aisle experiment`: compare ways to train, over several seeds."""

from collections.abc import Callable
from typing import Any

import click

from aisle.commands import Database, json_option, pass_database, print_rows
from aisle.commands.task_options import option_flags, options_given, value_type
from aisle.trainers import options as task_options
from aisle.trainers.basket import options as basket
from aisle.trainers.recommender import options as recommender


def seeds_option(default: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option that says with how many seeds each arm is trained."""
    kind = click.IntRange(min=1)
    return click.option("--seeds", default=default, show_default=True, type=kind, help="Number of seeds to train with.")


@click.group()
def experiment() -> None:
    """Compare ways to train, over several seeds."""


@experiment.command("recommender")
@click.option(
    "--features",
    "arms",
    multiple=True,
    required=True,
    help="Set of features, separated by commas; give it twice or more.",
)
@option_flags(recommender.Options, "experiment")
@seeds_option(5)
@json_option
@pass_database
def experiment_recommender(
    database: Database, /, arms: tuple[str, ...], seeds: int, as_json: bool, **given: Any
) -> None:
    """Compare the towers with different sets of features on the same held-out users. It deploys nothing.

    The best set looks better on these users than it is. Measure it again on later events.
    """
    options = options_given(recommender.Options(), given, "experiment")
    with database.connect():
        pass
    from aisle.trainers.recommender.experiment import compare_features

    table = compare_features(
        database.url, [task_options.names(arm) for arm in arms], seeds, options, lambda line: click.echo(line, err=True)
    )
    print_rows(
        ["features", f"recall@{options.top}", "sd", "difference", "p", "verdict"],
        [(",".join(a.features), a.mean, a.sd, a.difference, a.p, a.verdict) for a in table],
        as_json,
    )
    click.echo("The best set looks better on these users than it is. Measure it again on later events.", err=True)


@experiment.command("basket")
@click.option(
    "--grid",
    "grids",
    multiple=True,
    required=True,
    metavar="OPTION=VALUE,…",
    help="Values to try, such as pos_weight=5,10 or threshold=.1,.2. Repeatable: it tries every combination.",
)
@option_flags(basket.Options, "experiment")
@seeds_option(3)
@json_option
@pass_database
def experiment_basket(database: Database, /, grids: tuple[str, ...], seeds: int, as_json: bool, **given: Any) -> None:
    """Compare order networks on the same held-out customers. A second run skips the finished combinations.

    The best combination looks better on these customers than it is. Train it with another --seed, which holds out
    other customers.
    """
    options = options_given(basket.IN_EXPERIMENTS, given, "experiment")
    grid = _grid(grids)
    with database.connect():
        pass
    from aisle.trainers.basket.experiment import try_networks

    arms = try_networks(database.url, grid, seeds, options, lambda line: click.echo(line, err=True))
    rows = [{**arm.settings, **arm.means} for arm in arms]
    print_rows(list(rows[0]), [list(row.values()) for row in rows], as_json)
    click.echo(
        "The best combination looks better on these customers than it is. Train it with another --seed, which holds "
        "out other customers.",
        err=True,
    )


def _grid(pairs: tuple[str, ...]) -> dict[str, list[Any]]:
    kinds: dict[str, Any] = {
        name: value_type(flag, hint) for name, (flag, _, hint) in task_options.flags(basket.NetworkOptions).items()
    }
    kinds["threshold"] = click.FloatRange(0, 1, min_open=True, max_open=True)
    grid = {}
    for pair in pairs:
        name, equals, values = pair.partition("=")
        if not equals or not values:
            raise click.BadParameter(f"{pair!r} is not OPTION=VALUE,VALUE.", param_hint="--grid")
        name = name.replace("-", "_")
        kind = kinds.get(name, click.STRING)
        try:
            grid[name] = [kind.convert(value, None, None) for value in values.split(",")]
        except click.BadParameter as error:
            raise click.BadParameter(f"{name}: {error.message}", param_hint="--grid") from None
    return grid
