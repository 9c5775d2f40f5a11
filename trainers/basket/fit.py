"""Fits a basket model: cart completion, products' vectors, a network, and the weights of the score."""

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np

from aisle.db import Connection, errors, model_registry
from aisle.embedder.customer_vectors import CustomerEmbedder
from aisle.embedder.orders import Baskets, Floats, Targets
from aisle.trainers import warm_start
from aisle.trainers.basket import cart_completion, order_links
from aisle.trainers.basket.held_out import choose, hold_out_orders
from aisle.trainers.basket.options import NETWORKS, Options
from aisle.trainers.basket.score import (
    UNKNOWING,
    Fitted,
    Learned,
    Weights,
    candidates,
    fit_weights,
    learn,
    neighbours_of,
)
from aisle.trainers.task import Report
from aisle.trainers.warm_start import NOTHING_SEEN, Seen, Start

if TYPE_CHECKING:
    from aisle.trainers.basket.autoencoder import ProductVectors
    from aisle.trainers.basket.fit_order_network import NetworkStart

WEIGHTS_SHARE = 0.25  # share of the customers who are not held out; their last orders fit the weights
MOST_FOR_WEIGHTS = 20_000  # customers; more change nothing
MOST_COMPLETED = 4000  # carts to complete for the weight of co-purchase


def read_start(connection: Connection, task: str, baskets: Baskets, options: Options) -> "tuple[Start, NetworkStart]":
    """Return the live model's keys and its network; raises NoLiveModelError, and WarmStartError without a network."""
    from aisle.trainers.basket import fit_order_network

    if options.model not in NETWORKS:
        raise errors.WarmStartError(f"The model {options.model} has no network to start from.")
    live = model_registry.get(connection, model_registry.require_live(connection, task))
    warm_start.check_same(live, "model", live.parameters["model"], options.model)
    generation = CustomerEmbedder().load(connection, live.model_id)
    _, start = warm_start.of_live(connection, task)
    if generation.network is None:
        raise errors.WarmStartError(f"Model {live.model_id} has no network.")
    network_options = replace(options.network, model=options.model)
    theirs = asdict(generation.network.shape)
    ours = asdict(fit_order_network.shape_of(network_options, theirs["items"]))
    for name, value in theirs.items():
        warm_start.check_same(live, name, value, ours[name])
    rows = np.array([generation.numbers.get(item_id, -1) for item_id in baskets.item_ids], dtype=np.int64)
    return start, fit_order_network.NetworkStart(generation.network, rows)


def fit(
    history: Baskets,
    test: Targets,
    options: Options,
    by_time: bool,
    report: Report,
    *,
    texts: Floats | None = None,
    start: Start | None = None,
    network: "NetworkStart | None" = None,
) -> tuple[Learned, Weights, Seen]:
    """Fit to the customers who are not held out; if all are, to all orders before the held-out ones.

    Also return the keys that a network has learned from.
    """
    learners = np.ones(history.customers, dtype=bool)
    learners[test.customer] = False
    if not learners.any():
        learners[:] = True
    own = history.select_customers(learners)
    several = np.flatnonzero(own.orders_of >= 2)
    if not len(several):
        before, wanted = hold_out_orders(own, WEIGHTS_SHARE, options.seed)
        fitted = fit_networks(before, wanted, replace(options, model="taste"), report, texts)
        return learn(own, fitted, order_links.RIDGES[0], options.seed), UNKNOWING, NOTHING_SEEN
    size = min(max(1, round(WEIGHTS_SHARE * len(several))), MOST_FOR_WEIGHTS)
    before, wanted = own.hold_out_last(choose(own, several, size, options.seed, start))
    fitted = fit_networks(before, wanted, options, report, texts, network)
    ridge = order_links.best_ridge(before, wanted, options.top)
    report(f"Fitting the weights to the last orders of {len(wanted):,} customers …")
    learned = learn(before, fitted, ridge, options.seed)
    pool = neighbours_of(before, learned)
    found = candidates(
        before, wanted, learned, pool, neighbours=options.neighbours, nearest=options.nearest, by_time=by_time
    )
    # Cart completion learns from the orders of all customers.
    fitted = replace(fitted, co_purchased=cart_completion.co_purchased(history))
    seen = Seen.of(before.customer_ids, before.at[before.customer_start[1:] - 1])
    return (
        learn(own, fitted, ridge, options.seed),
        fit_weights(found, wanted),
        seen | (NOTHING_SEEN if start is None else start.seen),
    )


def fit_networks(
    before: Baskets,
    wanted: Targets,
    options: Options,
    report: Report,
    texts: Floats | None,
    start: "NetworkStart | None" = None,
) -> Fitted:
    """Fit cart completion, products' vectors, and the network of the options, stopped by the wanted orders."""
    from aisle.trainers.basket import fit_order_network
    from aisle.trainers.basket.autoencoder import product_vectors

    def progress(epoch: int, loss: float, metric: float | None) -> None:
        shown = "" if metric is None else f", validation recall {metric:.4f}"
        report(f"  epoch {epoch}: loss {loss:.3f}{shown}")

    report("Fitting cart completion …")
    completed = cart_completion.fit(before, cart_completion.Options(), seed=options.seed, progress=progress)
    report("Fitting products' vectors …")
    vectors = product_vectors(before, options.network, seed=options.seed, texts=texts, progress=progress)
    network = None
    if options.model in NETWORKS:
        report(f"Fitting {options.model} …")
        network = fit_order_network.fit(
            before, wanted, replace(options.network, model=options.model), seed=options.seed, progress=progress,
            vectors=vectors, start=start,
        )  # fmt: skip
    cosines = cart_completion.co_purchased(before)
    orders = [items for items in map(wanted.basket, range(len(wanted))) if len(items) > 1][:MOST_COMPLETED]
    hidden = np.array([items[place % len(items)] for place, items in enumerate(orders)], dtype=np.int64)
    carts = [items[items != one] for items, one in zip(orders, hidden, strict=True)]
    weight = cart_completion.cosine_weight(completed, cosines, carts, hidden, options.top)
    return Fitted(network, completed.cart, completed.completion, cosines, weight, _known(vectors, before, texts))


def _known(vectors: "ProductVectors", baskets: Baskets, texts: Floats | None) -> Floats:
    """Return products' vectors, (items, d); zeros for those without co-purchases and text."""
    known = np.zeros(baskets.items, dtype=bool)
    if texts is not None:
        known |= texts.any(axis=1)
    known[baskets.item[np.diff(baskets.order_start)[baskets.order_of_line] > 1]] = True
    return np.where(known[:, None], vectors.codes, 0).astype(np.float32)
