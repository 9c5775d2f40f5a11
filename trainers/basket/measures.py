"""Measures a basket model through SQL: next orders, sets of the best size, and completed carts."""

from itertools import pairwise
from typing import Any

import numpy as np
from pgvector import Vector

from aisle import db
from aisle.db import Connection
from aisle.embedder.customer_vectors import CustomerEmbedder
from aisle.embedder.orders import Baskets, Ints, Targets
from aisle.trainers import ranking
from aisle.trainers.basket import baselines as basket_baselines
from aisle.trainers.basket.score import Learned

LONGEST_SET = 50  # products of a customer, from which the best sets of other rules are cut
THRESHOLDS = tuple(np.linspace(0.02, 0.6, 59).round(2).tolist())  # of a probability, for these sets
CHUNK = 500  # customers whose logits are computed at once
MOST_COMPLETED = 4000  # carts to complete
NETWORK_ALONE = "network alone"
LIVE = "live model"  # the live model's name in the metrics
OF_CUSTOMER = "complete_basket of a customer"
CHECKED = 20  # customers queried as of now


def answers(
    connection: Connection, model_id: int, heldout_of: int, history: Baskets, test: Targets, k: int | None
) -> list[tuple[list[str], list[float]]]:
    """Query a model, in SQL, for the held-out customers of model `heldout_of`, at their moments.

    Return each customer's ranked products and their probabilities. The customers' states before those moments are
    computed again.
    """
    given = _moments(connection, model_id, heldout_of, history, test.customer, k)
    return connection.execute(db.read("queries/next_baskets_heldout"), given).fetchall()


def _moments(
    connection: Connection, model_id: int, heldout_of: int, history: Baskets, customers: Ints, k: int | None
) -> dict[str, Any]:
    """Return the parameters of a query for held-out customers: their states before their moments, too."""
    generation = CustomerEmbedder().load(connection, model_id)
    queried = history.select_customers(customers).renumber(list(generation.numbers))
    return {
        "model_id": model_id,
        "heldout_of": heldout_of,
        "k": k,
        "user_ids": list(queried.customer_ids),
        "states": [Vector(state) for state in generation.states.states(queried)],
    }


def check_answers(connection: Connection, model_id: int, history: Baskets, test: Targets) -> None:
    """Query some of the held-out customers as of now, as a shop does; raises the database's error, if any.

    The present may differ from the held-out moments.
    """
    users = [history.customer_ids[c] for c in test.customer[:CHECKED]]
    with db.guarded(connection):
        connection.execute(
            "select n.item_id from unnest(%s::text[]) u (id), aisle._next_basket(%s, u.id, 1) n", (users, model_id)
        )


def measure(
    connection: Connection, model_id: int, history: Baskets, test: Targets, learned: Learned, k: int, seed: int,
    live: int | None,
) -> dict[str, Any]:  # fmt: skip
    """Measure a new model on the held-out customers: its first k products, its best sets, and completed carts."""
    check_answers(connection, model_id, history, test)
    wanted, seen = names_of(history, test), seen_by(history, test)
    metrics: dict[str, Any] = {
        "customers": len(test),
        "repeat customers": int((history.orders_of[test.customer] >= 1).sum()),
    }
    longest = answers(connection, model_id, model_id, history, test, max(k, LONGEST_SET))
    metrics |= ranking.measure_baskets([items[:k] for items, _ in longest], wanted, seen, k).means()
    best_sets = [items for items, _ in answers(connection, model_id, model_id, history, test, None)]
    metrics["f1-optimal"] = ranking.measure_sets(best_sets, wanted) | best_rules(longest, wanted)
    metrics["completion"] = measure_completion(connection, model_id, history, test, k, seed, live)
    if learned.fitted.network:
        metrics[NETWORK_ALONE] = measure_states(learned, history, test, k)
    return metrics


def best_rules(answered: list[tuple[list[str], list[float]]], wanted: list[set[str]]) -> dict[str, dict[str, float]]:
    """Return the metrics of two simpler rules: one size for all, and all products above one probability.

    Size and probability are the best for these very customers: an upper bound.
    """
    sizes = {k: [items[:k] for items, _ in answered] for k in range(1, LONGEST_SET + 1)}
    above = {p: [[i for i, q in zip(*a, strict=True) if q >= p] for a in answered] for p in THRESHOLDS}
    best = {}
    for name, sets in (("fixed size", sizes), ("threshold", above)):
        measured = {value: ranking.measure_sets(answered, wanted)["f1"] for value, answered in sets.items()}
        value = max(measured, key=lambda value: measured[value])
        best[f"best {name}"] = {"value": value, "f1": measured[value]}
    return best


def measure_states(learned: Learned, history: Baskets, test: Targets, k: int) -> dict[str, float]:
    """Measure rankings by the states alone: the network without the other terms of the score."""
    states = learned.states.states(history.select_customers(test.customer))  # (customers, d)
    ranked: list[list[str]] = []
    for start in range(0, len(states), CHUNK):
        best = ranking.top(states[start : start + CHUNK] @ learned.products.T, k)
        ranked += [[history.item_ids[i] for i in row if i >= 0] for row in best.tolist()]
    return ranking.measure_baskets(ranked, names_of(history, test), seen_by(history, test), k).means()


def measure_completion(
    connection: Connection,
    model_id: int,
    history: Baskets,
    test: Targets,
    k: int,
    seed: int,
    live: int | None = None,
) -> dict[str, float]:
    """Hide a product of each held-out order; return the share of carts whose completion finds it.

    It is asked for without the customer and, where customers have earlier orders, with. The live model, if any, and two
    simple rules are measured too.
    """
    random = np.random.default_rng(seed)
    several = np.flatnonzero([len(test.basket(t)) > 1 for t in range(len(test))])
    if not len(several):
        return {}
    targets = random.permutation(several)[:MOST_COMPLETED]
    orders = [test.basket(t) for t in targets]
    hidden = [random.choice(items) for items in orders]
    carts = [items[items != one] for items, one in zip(orders, hidden, strict=True)]
    named = [db.array([history.item_ids[i] for i in items]) for items in carts]
    found = {"carts": float(len(carts))}
    for name, queried in {"complete_basket": model_id, LIVE: live}.items():
        if queried is not None:
            rows = connection.execute(
                db.read("queries/complete_heldout"), {"model_id": queried, "k": k, "carts": named}
            ).fetchall()
            found[name] = float(np.mean([history.item_ids[i] in row[0] for i, row in zip(hidden, rows, strict=True)]))
    if history.orders_of[test.customer[targets]].any():
        given = _moments(connection, model_id, model_id, history, test.customer[targets], k) | {"carts": named}
        rows = connection.execute(db.read("queries/complete_heldout_of_customers"), given).fetchall()
        found[OF_CUSTOMER] = float(
            np.mean([history.item_ids[i] in row[0] for i, row in zip(hidden, rows, strict=True)])
        )
    for name, baseline in basket_baselines.COMPLETIONS.items():
        ranked = baseline(history, carts, k)
        found[name] = float(np.mean(ranked == np.array(hidden)[:, None]) * ranked.shape[1])
    return found


def names_of(history: Baskets, test: Targets) -> list[set[str]]:
    """Return the ids of each target's items."""
    return [{history.item_ids[i] for i in test.basket(t)} for t in range(len(test))]


def seen_by(history: Baskets, test: Targets) -> list[set[str]]:
    """Return the ids of each customer's items before the target."""
    own = history.select_customers(test.customer)
    return [
        {history.item_ids[i] for i in own.item[own.order_start[start] : own.order_start[stop]]}
        for start, stop in pairwise(own.customer_start)
    ]


def measure_baseline(name: str, history: Baskets, test: Targets, k: int) -> ranking.BasketMeasures:
    """Fit a baseline on the orders before the held-out ones, and measure it on these."""
    ranked = basket_baselines.BASELINES[name]().fit(history).rank(test.customer, k)
    ids = [[history.item_ids[i] for i in row if i >= 0] for row in ranked.tolist()]
    return ranking.measure_baskets(ids, names_of(history, test), seen_by(history, test), k)
