"""`aisle train basket` and `aisle experiment basket`."""

from typing import Any

import click

from aisle.commands import Database, json_option, pass_database, print_rows
from aisle.commands.train_options import WARM_START, progress, show, with_options

OPTIONS = (
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
    click.option(
        "--learning-rate", type=click.FloatRange(0, min_open=True), help="Peak of the network's.  [default: 0.003]"
    ),
    click.option("--top", default=10, show_default=True, type=click.IntRange(min=1), help="Measure the first so many."),
    click.option("--seed", default=7, show_default=True, help="Same seed, same machine: same model."),
)

ONLY_IN_GRIDS = {
    "model": click.Choice(["cnn-gru", "attention-gru"]),
    "kernel": click.IntRange(min=1),
    "memory": click.BOOL,
    "exponent": click.FloatRange(0),
    "product_epochs": click.IntRange(min=0),
    "stop_after": click.IntRange(min=1),
    "memory_dropout": click.FloatRange(0, 1, max_open=True),
    "negatives": click.IntRange(min=1),
    "patience": click.IntRange(min=1),
    "evaluate_at": click.IntRange(min=1),
    "threshold": click.FloatRange(0, 1, min_open=True, max_open=True),
}


@click.command("basket")
@with_options(OPTIONS)
@WARM_START
@click.option("--pos-weight", type=click.FloatRange(0, min_open=True), help="Of a yes, with --loss bce.  [default: 1]")
@click.option(
    "--deploy/--no-deploy",
    default=None,
    help="Let it answer when it is ready.  [default: if it beats the live model, own frequency and TIFU-KNN]",
)
@json_option
@pass_database
def train_basket(database: Database, /, as_json: bool, **given: Any) -> None:
    """Train orders → the next order and publish it."""
    from aisle.trainers.basket import task as basket

    options = _basket(**given)
    result = basket.train(database.url, options, progress(database))
    names = [f"{name}@{options.top}" for name in ("recall", "ndcg", "phr", "f1")]
    show(result, "of the held-out orders", names, "aisle next-basket USER", as_json=as_json)


@click.command("basket")
@click.option(
    "--grid",
    "grids",
    multiple=True,
    required=True,
    metavar="OPTION=VALUE,…",
    help="Values to try, such as pos_weight=5,10 or threshold=.1,.2; repeatable, and every combination is tried.",
)
@with_options(OPTIONS)
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(min=1), help="Networks a combination.")
@json_option
@pass_database
def experiment_basket(database: Database, /, grids: tuple[str, ...], seeds: int, as_json: bool, **given: Any) -> None:
    """Try networks on the same held-out customers; what was finished before is not fitted again.

    What is chosen here looks better on these customers than it is: train with another --seed, which holds out others.
    """
    from aisle.trainers.basket import experiment as basket_experiment

    with database.connect():
        pass
    options = _basket(**given)
    arms = basket_experiment.try_networks(
        database.url, _grid(grids), seeds, options, lambda line: click.echo(line, err=True)
    )
    rows = [{**arm.settings, **arm.means} for arm in arms]
    print_rows(list(rows[0]), [list(row.values()) for row in rows], as_json)
    click.echo(
        "What is chosen by these customers looks better on them than it is. Train with another --seed, which holds out "
        "others.",
        err=True,
    )


def _grid(pairs: tuple[str, ...]) -> dict[str, list[Any]]:
    kinds = {option.name: option.type for option in train_basket.params} | ONLY_IN_GRIDS
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


def _basket(
    *, model: str, test_share: float, neighbours: int, text_vectors: bool, top: int, seed: int,
    warm_start: bool = False, deploy: bool | None = None, **given: Any,
) -> Any:  # fmt: skip
    from aisle.trainers.basket import task as basket

    network = {name: value for name, value in given.items() if value is not None}
    return basket.Options(
        model=model,
        test_share=test_share,
        neighbours=neighbours,
        text_vectors=text_vectors,
        top=top,
        seed=seed,
        deploy=deploy,
        warm_start=warm_start,
        network=network,
    )
