"""Trains orders → the next order: `aisle train basket`.

    orders ──▶ hold out some customers' last ──▶ of the others, hold out some customers' last for the weights
           ──▶ tastes, popularity, gaps, a network ──▶ weights ──▶ publish
           ──▶ measure in SQL, beside the live model and the baselines ──▶ deploy if it is better

A customer's next order is most of all made of what was bought before, and then of what customers of like taste ordered
next. The served score is a weighted sum of what is known of both, and of the network's logit: next_basket() adds it up
from the rows that are there now.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from pgvector import Vector
from scipy import sparse

from aisle import db
from aisle.db import Connection, errors, model_registry
from aisle.embedder import customer_vectors as customer_files
from aisle.embedder.customer_vectors import CustomerEmbedder, CustomerGeneration, columns
from aisle.embedder.pipeline import drain
from aisle.trainers import index_recall, overlap, ranking, warm_start
from aisle.trainers.basket import baselines as basket_baselines
from aisle.trainers.basket import cart_completion
from aisle.trainers.basket.orders import Baskets, Bools, Floats, Ints, Targets, check_attached, read_baskets
from aisle.trainers.basket.score import (
    BOUNDS,
    DECAY,
    UNKNOWING,
    Fitted,
    Learned,
    Weights,
    candidates,
    fit_weights,
    learn,
    neighbours_of,
)
from aisle.trainers.bulk import LONGEST_KEY, copy_rows, index_generation
from aisle.trainers.category.products import share
from aisle.trainers.odd_values import report_oddities
from aisle.trainers.recommender.events import read_items
from aisle.trainers.run import (
    Report,
    Result,
    beats_all,
    conclude,
    count_rows,
    failing,
    leave_unless_leader,
    newest_moment,
    only_trainer,
)
from aisle.trainers.warm_start import NOBODY, Seen, Start

if TYPE_CHECKING:
    from aisle.trainers.basket.fit_order_network import NetworkStart, ProductVectors

GATE = ("p-top", "gp-top", "tifu-knn")  # what a model must beat on the held-out customers
WEIGHTS_SHARE = 0.25  # of the customers who are not held out: their last orders fit the weights
MOST_FOR_WEIGHTS = 20_000  # customers; more change nothing
LONGEST_SET = 50  # products of a customer, of which the best sets of other kinds are cut
THRESHOLDS = tuple(np.linspace(0.02, 0.6, 59).round(2).tolist())  # of a probability, for the same
CHUNK = 500  # customers whose logits are computed at once
MOST_COMPLETED = 4000  # carts that are completed to measure that
LIVE = "live model"  # among what completes them
CHECKED = 20  # customers who are asked for at this moment
NETWORKS = ("cnn-gru", "attention-gru")
FEWEST = 10  # customers with two orders
OF_ONE_RUN = ("test_customers", "deploy", "warm_start")  # options that another run of a model does without
DAY = 86_400.0  # seconds


@dataclass(frozen=True)
class Options:
    """What `aisle train basket` can be told."""

    model: str = "taste"  # or cnn-gru, attention-gru: what makes the states
    test_share: float = 0.2  # of the customers whose last order is held out
    test_customers: frozenset[str] | None = None  # or these
    neighbours: int = 200
    nearest: int = 100  # candidates from neighbours, and by state
    top: int = 10  # what is measured are the first so many
    seed: int = 7
    deploy: bool | None = None  # None: if it is better than what is live and than the baselines
    text_vectors: bool = False  # whether products' vectors start from those of their texts
    network: dict[str, Any] = field(default_factory=dict)  # options of trainers.order_networks
    warm_start: bool = False  # whether to start from the live model's network


def train(url: str, options: Options, report: Report = lambda line: None) -> Result:
    """Train on the attached orders, publish a generation, measure it through SQL, and deploy it if it is better.

    Raises TrainingDataError when there is too little to learn from. No failure touches the live model.
    """
    started = time.monotonic()
    with (
        db.connect(url, application_name="aisle train basket") as connection,
        only_trainer(connection, "basket", shared=True),
    ):
        # Read before the orders: of a customer whose orders change in between, the hash is that of the older ones.
        hashes = read_hashes(connection)
        baskets = read_baskets(connection)
        report_oddities(connection, "orders", report)
        start, network = begin(connection, baskets, options) if options.warm_start else (None, None)
        history, test = hold_out(baskets, options, start)
        report(
            f"{len(baskets):,} orders of {baskets.customers:,} customers with {baskets.items:,} products; "
            f"{len(test):,} customers' last are held out."
        )
        by_time = has_times(connection)
        texts = read_texts(connection, baskets.item_ids) if options.text_vectors else None
        learned, weights, seen = fit(history, test, options, by_time, report, texts=texts, start=start, network=network)
        leave_unless_leader()
        started_from = None if start is None else start.model_id
        model_id = publish(connection, baskets, test, learned, weights, hashes, options, by_time, seen, started_from)
        with failing(connection, model_id):
            metrics = measure(connection, model_id, history, test, options, report)
            if learned.fitted.network:
                metrics["network alone"] = measure_states(learned, history, test, options.top)
        verdict = judge(metrics, options)
        return conclude(
            connection,
            "basket",
            model_id,
            metrics=metrics,
            data={
                "rows": count_rows(connection, "basket"),
                "newest": newest_moment(connection, "basket"),
                "orders": len(baskets),
                "customers": baskets.customers,
                "items": baskets.items,
                "fingerprint": baskets.fingerprint(),
            },
            seconds=time.monotonic() - started,
            verdict=verdict,
            deploys=verdict[0],
            told=options.deploy,
        )


def read_hashes(connection: Connection) -> dict[str, bytes]:
    """Return the hash of each customer's orders; raises NotAttachedError where none are attached."""
    check_attached(connection)
    return dict(connection.execute("select user_id::text, content_hash from aisle._customers").fetchall())


def has_times(connection: Connection) -> bool:
    """Return whether orders have times; numbers do not say which customer's order was before another's."""
    return bool(
        db.fetch_value(
            connection,
            "select time_type not in ('smallint', 'integer', 'bigint') from aisle._attachments where kind = 'orders'",
        )
    )


def begin(connection: Connection, baskets: Baskets, options: Options) -> "tuple[Start, NetworkStart]":
    """Return what the live model has kept, and its network; raises NoLiveModelError, and WarmStartError without one."""
    from aisle.trainers.basket import fit_order_network

    if options.model not in NETWORKS:
        raise errors.WarmStartError(f"The model {options.model} has no network, whose weights could be started from.")
    live = model_registry.get(connection, model_registry.require_live(connection, "basket"))
    warm_start.check_same(live, "model", live.parameters["model"], options.model)
    generation = CustomerEmbedder().load(connection, live.model_id)
    _, start = warm_start.of_live(connection, "basket")
    if generation.network is None:
        raise errors.WarmStartError(f"Model {live.model_id} has no network.")
    network_options = replace(fit_order_network.Options(**options.network), model=options.model)
    theirs = asdict(generation.network.shape)
    ours = asdict(fit_order_network.shape_of(network_options, theirs["items"]))
    for name, value in theirs.items():
        warm_start.check_same(live, name, value, ours[name])
    rows = np.array([generation.numbers.get(item_id, -1) for item_id in baskets.item_ids], dtype=np.int64)
    return start, fit_order_network.NetworkStart(generation.network, rows)


def hold_out(baskets: Baskets, options: Options, start: Start | None = None) -> tuple[Baskets, Targets]:
    """Hold out the last order of some customers who have two at least; raise TrainingDataError if nothing is left."""
    several = np.flatnonzero(baskets.orders_of >= 2)
    if len(several) < FEWEST and options.test_customers is None:
        return hold_out_orders(baskets, options.test_share, options.seed)
    if options.test_customers is None:
        size = max(1, round(options.test_share * len(several)))
    else:
        several = np.array([c for c in several.tolist() if baskets.customer_ids[c] in options.test_customers], int)
        size = len(several)
    history, test = baskets.hold_out_last(choose(baskets, several, size, options.seed, start))
    if not len(test):
        raise errors.TrainingDataError("None of the customers to be tested has two orders.")
    return history, test


def choose(baskets: Baskets, customers: Ints, size: int, seed: int, start: Start | None) -> Bools:
    """Mark so many of these customers, but none whose last order the weights that are started from have learned from.

    A hash of the id decides, so that later runs, with other customers, choose the same. Raises WarmStartError where
    there are none to choose.
    """
    ids = [baskets.customer_ids[c] for c in customers]
    if start is not None:
        unseen = baskets.at[baskets.customer_start[customers + 1] - 1] > start.seen.until_of(ids)
        warm_start.check_unseen(start, int(unseen.sum()), len(customers), "customers")
        customers, ids = customers[unseen], [i for i, is_unseen in zip(ids, unseen, strict=True) if is_unseen]
    chosen = np.zeros(baskets.customers, dtype=bool)
    chosen[customers[np.argsort([share(i, seed) for i in ids], kind="stable")[:size]]] = True
    return chosen


def hold_out_orders(baskets: Baskets, share_of_orders: float, seed: int) -> tuple[Baskets, Targets]:
    """Hold out whole orders, where nobody has two: all that can be learned is what is bought together."""
    orders = np.flatnonzero(np.diff(baskets.order_start) >= 2)
    if len(orders) < FEWEST or baskets.items < 2:
        raise errors.TrainingDataError(
            f"There are {int((baskets.orders_of >= 2).sum())} customers with two orders or more, and {len(orders)} "
            f"orders of two products or more; {FEWEST} of the ones or the others are the least.",
            hint="Attach a table with more orders.",
        )
    size = max(1, round(min(share_of_orders, 0.5) * len(orders)))
    # By a hash of the customers, for the reason that `choose` has: a live model has not learned from what it held out.
    hashes = [share(baskets.customer_ids[c], seed) for c in baskets.customer_of_order[orders]]
    chosen = np.sort(orders[np.argsort(hashes, kind="stable")[:size]])
    kept = np.ones(len(baskets), dtype=bool)
    kept[chosen] = False
    _, first = np.unique(baskets.customer_of_order[chosen], return_index=True)
    return baskets.select_orders(kept), baskets.targets(chosen[first])


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
    """Learn from the customers who are not held out, or, where all are, from all orders before the held-out ones.

    Return from whom a network has learned, too.
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
        return learn(own, fitted, options.seed), UNKNOWING, NOBODY
    size = min(max(1, round(WEIGHTS_SHARE * len(several))), MOST_FOR_WEIGHTS)
    before, wanted = own.hold_out_last(choose(own, several, size, options.seed, start))
    fitted = fit_networks(before, wanted, options, report, texts, network)
    report(f"Fitting the weights to the last orders of {len(wanted):,} customers …")
    learned = learn(before, fitted, options.seed)
    pool = neighbours_of(before, learned)
    found = candidates(
        before, wanted, learned, pool, neighbours=options.neighbours, nearest=options.nearest, by_time=by_time
    )
    # An open cart is completed by whatever has been bought together, by whomever.
    fitted = replace(fitted, companions=cart_completion.companions(history))
    seen = Seen.of(before.customer_ids, before.at[before.customer_start[1:] - 1])
    return (
        learn(own, fitted, options.seed),
        fit_weights(found, wanted),
        seen | (NOBODY if start is None else start.seen),
    )


def fit_networks(
    before: Baskets,
    wanted: Targets,
    options: Options,
    report: Report,
    texts: Floats | None,
    start: "NetworkStart | None" = None,
) -> Fitted:
    """Fit what completes a cart, products' vectors, and the network asked for, stopped by the wanted orders."""
    from aisle.trainers.basket import fit_order_network

    def progress(epoch: int, loss: float, metric: float | None) -> None:
        shown = "" if metric is None else f", validation recall {metric:.4f}"
        report(f"  epoch {epoch}: loss {loss:.3f}{shown}")

    report("Fitting what is bought together …")
    completed = cart_completion.fit(before, cart_completion.Options(), seed=options.seed, progress=progress)
    report("Fitting products' vectors …")
    network_options = fit_order_network.Options(**options.network)
    vectors = fit_order_network.product_vectors(
        before, network_options, seed=options.seed, texts=texts, progress=progress
    )
    network = None
    if options.model in NETWORKS:
        report(f"Fitting {options.model} …")
        network = fit_order_network.fit(
            before, wanted, replace(network_options, model=options.model), seed=options.seed, progress=progress,
            vectors=vectors, start=start,
        )  # fmt: skip
    cosines = cart_completion.companions(before)
    orders = [items for items in map(wanted.basket, range(len(wanted))) if len(items) > 1][:MOST_COMPLETED]
    hidden = np.array([items[place % len(items)] for place, items in enumerate(orders)], dtype=np.int64)
    carts = [items[items != one] for items, one in zip(orders, hidden, strict=True)]
    weight = cart_completion.companion_weight(completed, cosines, carts, hidden, options.top)
    return Fitted(network, completed.cart, completed.completion, cosines, weight, _known(vectors, before, texts))


def _known(vectors: "ProductVectors", baskets: Baskets, texts: Floats | None) -> Floats:
    """Return products' vectors, (items, d); zeros for those of which neither a companion nor a text tells."""
    known = np.zeros(baskets.items, dtype=bool)
    if texts is not None:
        known |= texts.any(axis=1)
    known[baskets.item[np.diff(baskets.order_start)[baskets.order_of_line] > 1]] = True
    return np.where(known[:, None], vectors.codes, 0).astype(np.float32)


def read_texts(connection: Connection, item_ids: Sequence[str]) -> Floats:
    """Return the text vectors of products, (items, any), by the live category model; zeros for what is not attached."""
    items = read_items(connection, with_texts=True)
    texts = dict(zip(items.ids, items.texts if items.texts is not None else (), strict=True))
    nothing = np.zeros_like(next(iter(texts.values())))
    return np.stack([texts.get(item_id, nothing) for item_id in item_ids])


def publish(
    connection: Connection,
    baskets: Baskets,
    test: Targets,
    learned: Learned,
    weights: Weights,
    hashes: dict[str, bytes],
    options: Options,
    by_time: bool,
    seen: Seen = NOBODY,
    started_from: int | None = None,
) -> int:
    """Load products and customers as a generation, and let the embedder add what changed; return the model's id."""
    dimensions = learned.products.shape[1]
    model_id = model_registry.create(
        connection,
        "basket",
        dimensions,
        encoder=None,
        parameters={
            "model": options.model,
            "weights": weights.named(),
            "bounds": BOUNDS | {"cosine": cart_completion.FLOOR},
            "logit": weights.logit,
            "decay": DECAY,
            "companions": learned.fitted.companion_weight,
            "gap": learned.average_gap,
            "rarest": learned.rarest,
            "size": learned.size,
            "neighbours": options.neighbours,
            "nearest": options.nearest,
            "time": "days" if by_time else "numbers",
            "top": options.top,
            "seed": options.seed,
            "started_from": started_from,
            "options": {k: v for k, v in asdict(options).items() if k not in OF_ONE_RUN},
        },
    )
    if learned.fitted.network:
        customer_files.store(connection, model_id, learned.fitted.network)
        Start({}, {}, seen).store(connection, model_id)  # the network has learned from nobody who measured it
    copy_rows(
        connection,
        "basket_items",
        (
            "model_id",
            "item_id",
            "embedding",
            "taste",
            "cart",
            "completion",
            "companions",
            "cosines",
            "co_purchase",
            "popularity",
            "gap",
        ),
        (
            (model_id, *row)
            for row in zip(
                baskets.item_ids,
                learned.products,
                learned.item_tastes,
                learned.fitted.cart,
                learned.fitted.completion,
                *_companions(learned.fitted.companions, baskets.item_ids),
                [row if row.any() else None for row in learned.fitted.co_purchase],
                learned.popularity,
                learned.gap,
                strict=True,
            )
        ),
    )
    numbers = {item_id: i for i, item_id in enumerate(baskets.item_ids)}
    generation = CustomerGeneration(model_id, numbers, learned.item_tastes, DECAY[0], learned.fitted.network)
    made = columns(generation, baskets)
    copy_rows(
        connection,
        "customer_vectors",
        ("model_id", "user_id", "embedding", "taste", "next_items", "known_at", "content_hash"),
        (
            (model_id, user_id, *row, hashes[user_id])
            for user_id, *row in zip(*made.values(), strict=True)
            if user_id in hashes and len(user_id.encode()) <= LONGEST_KEY
        ),
    )
    connection.execute(
        db.read("queries/add_heldout_users"),
        {
            "kind": "orders",
            "model_id": model_id,
            "user_ids": [baskets.customer_ids[c] for c in test.customer],
            "moments": (test.at * DAY).tolist(),
            "contexts": ["{}"] * len(test),
            "relevant": [db.array([baskets.item_ids[i] for i in test.basket(t)]) for t in range(len(test))],
        },
    )
    index_generation(connection, "basket", model_id)
    # From here on the worker keeps this generation in step.
    connection.execute("update aisle._models set state = 'filling' where model_id = %s", (model_id,))
    connection.execute("select aisle._enqueue_stale()")
    drain(connection, [CustomerEmbedder([generation])])
    return model_id


def _companions(cosines: sparse.csr_array, item_ids: Sequence[str]) -> tuple[list[list[str]], list[list[float]]]:
    """Return each item's companions, and how near they are."""
    names, values = [], []
    for start, stop in pairwise(cosines.indptr.tolist()):
        names.append([item_ids[i] for i in cosines.indices[start:stop]])
        values.append(cosines.data[start:stop].tolist())
    return names, values


def read_model(connection: Connection, model_id: int, baskets: Baskets) -> tuple[Learned, Weights]:
    """Return what `publish` stored, for the products of `baskets`, which the model must know."""
    parameters = model_registry.get(connection, model_id).parameters
    generation = CustomerEmbedder().load(connection, model_id)
    places = [generation.numbers[item_id] for item_id in baskets.item_ids]
    rows = connection.execute(
        "select embedding, popularity, gap, cart, completion from aisle.basket_items "
        'where model_id = %s order by item_id collate "C"',
        (model_id,),
    ).fetchall()
    learned = Learned(
        item_tastes=generation.item_tastes[places],
        popularity=np.array([row[1] for row in rows])[places],
        gap=np.array([row[2] for row in rows])[places],
        average_gap=parameters["gap"],
        rarest=parameters["rarest"],
        size=parameters["size"],
        fitted=Fitted(
            generation.network,
            np.array([row[3].to_numpy() for row in rows])[places],
            np.array([row[4].to_numpy() for row in rows])[places],
            sparse.csr_array((len(places), len(places))),
            parameters["companions"],
            np.zeros((len(places), 0), dtype=np.float32),
        ),
        products=np.array([row[0].to_numpy() for row in rows])[places],
    )
    return learned, Weights.of(parameters)


def answers(
    connection: Connection, model_id: int, heldout_of: int, history: Baskets, test: Targets, k: int | None
) -> list[tuple[list[str], list[float]]]:
    """Ask a model, in SQL, for the customers that another was held out from, at their moments.

    Return the products that it ranks for each, and how likely it says that they are. What the worker would have had as
    their states before those moments is computed anew.
    """
    generation = CustomerEmbedder().load(connection, model_id)
    asked = history.select_customers(test.customer).renumber(list(generation.numbers))
    return connection.execute(
        db.read("queries/next_baskets_heldout"),
        {
            "model_id": model_id,
            "heldout_of": heldout_of,
            "k": k,
            "user_ids": list(asked.customer_ids),
            "states": [Vector(state) for state in generation.states.states(asked)],
        },
    ).fetchall()


def check_answers(connection: Connection, model_id: int, history: Baskets, test: Targets) -> None:
    """Ask for some of the held-out customers as a shop does, at this moment; raises what the database says, if it errs.

    The moment to come may be unlike those that were held out.
    """
    users = [history.customer_ids[c] for c in test.customer[:CHECKED]]
    with db.guarded(connection):
        connection.execute(
            "select n.item_id from unnest(%s::text[]) u (id), aisle._next_basket(%s, u.id, 1) n", (users, model_id)
        )


def measure(
    connection: Connection, model_id: int, history: Baskets, test: Targets, options: Options, report: Report
) -> dict[str, Any]:
    """Measure the model, the live one and the baselines on the held-out customers."""
    k = options.top
    report("Measuring on held-out customers, through SQL …")
    check_answers(connection, model_id, history, test)
    wanted, seen = names_of(history, test), seen_by(history, test)
    metrics: dict[str, Any] = {
        "customers": len(test),
        "repeat customers": int((history.orders_of[test.customer] >= 1).sum()),
    }
    longest = answers(connection, model_id, model_id, history, test, max(k, LONGEST_SET))
    metrics |= ranking.measure_baskets([items[:k] for items, _ in longest], wanted, seen, k).means()
    best_sets = [items for items, _ in answers(connection, model_id, model_id, history, test, None)]
    metrics["f1-optimal"] = ranking.measure_sets(best_sets, wanted) | _best_rules(longest, wanted)
    if found := index_recall.recall(connection, "basket", model_id):
        metrics["index recall@10"] = found
    live = model_registry.live(connection, "basket")
    if live is not None:
        ranked = [items for items, _ in answers(connection, live, model_id, history, test, k)]
        metrics["live"] = {"model_id": live, **ranking.measure_baskets(ranked, wanted, seen, k).means()}
        metrics["shadow"] = overlap.compare(connection, "basket", live, model_id, k)
    metrics["completion"] = measure_completion(connection, model_id, history, test, k, options.seed, live)
    for name in GATE:
        report(f"Fitting the baseline {name} …")
        metrics[name] = measure_baseline(name, history, test, k).means()
    return metrics


def _best_rules(answered: list[tuple[list[str], list[float]]], wanted: list[set[str]]) -> dict[str, dict[str, float]]:
    """Return what two simpler sets come to: of one size for all, and of all products above one probability.

    Size and probability are the best for these very customers, which is more than one can know.
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
    """Measure what the states alone would rank: what a network brings, without the other terms of the score."""
    states = learned.states.states(history.select_customers(test.customer))  # (customers, d)
    ranked: list[list[str]] = []
    for start in range(0, len(states), CHUNK):
        best = ranking.top(states[start : start + CHUNK] @ learned.products.T, k)
        ranked += [[history.item_ids[i] for i in row if i >= 0] for row in best.tolist()]
    return ranking.measure_baskets(ranked, names_of(history, test), seen_by(history, test), k).means()


def held_out_of(connection: Connection, model_id: int, baskets: Baskets) -> tuple[Baskets, Targets]:
    """Return what a published model was measured on: the orders before its moments, and those that followed."""
    moments = np.full(baskets.customers, np.inf)
    numbers = {user_id: c for c, user_id in enumerate(baskets.customer_ids)}
    rows = connection.execute(db.read("queries/heldout_users"), {"model_id": model_id, "kind": "orders"}).fetchall()
    for user_id, moment, _ in rows:
        if user_id in numbers:
            moments[numbers[user_id]] = moment / DAY
    after = baskets.at >= moments[baskets.customer_of_order]
    # The first of the orders since, should there be others.
    first = np.append(True, ~after[:-1]) | np.isin(np.arange(len(baskets)), baskets.customer_start)
    return baskets.select_orders(~after), baskets.targets(np.flatnonzero(after & first))


def measure_completion(
    connection: Connection,
    model_id: int,
    history: Baskets,
    test: Targets,
    k: int,
    seed: int,
    live: int | None = None,
) -> dict[str, float]:
    """Hide a product of each held-out order; return the share of carts that get it back.

    Beside it stand the live model, should there be one, and two simple rules.
    """
    random = np.random.default_rng(seed)
    orders = [items for items in map(test.basket, range(len(test))) if len(items) > 1]
    if not orders:
        return {}
    orders = [orders[o] for o in random.permutation(len(orders))[:MOST_COMPLETED]]
    hidden = [random.choice(items) for items in orders]
    carts = [items[items != one] for items, one in zip(orders, hidden, strict=True)]
    named = [db.array([history.item_ids[i] for i in items]) for items in carts]
    found = {"carts": float(len(carts))}
    for name, asked in {"complete_basket": model_id, LIVE: live}.items():
        if asked is not None:
            rows = connection.execute(
                db.read("queries/complete_heldout"), {"model_id": asked, "k": k, "carts": named}
            ).fetchall()
            found[name] = float(np.mean([history.item_ids[i] in row[0] for i, row in zip(hidden, rows, strict=True)]))
    for name, baseline in basket_baselines.COMPLETIONS.items():
        ranked = baseline(history, carts, k)
        found[name] = float(np.mean(ranked == np.array(hidden)[:, None]) * ranked.shape[1])
    return found


def names_of(history: Baskets, test: Targets) -> list[set[str]]:
    """Return the ids of each target's items."""
    return [{history.item_ids[i] for i in test.basket(t)} for t in range(len(test))]


def seen_by(history: Baskets, test: Targets) -> list[set[str]]:
    """Return the ids of what each customer bought before the target."""
    own = history.select_customers(test.customer)
    return [
        {history.item_ids[i] for i in own.item[own.order_start[start] : own.order_start[stop]]}
        for start, stop in pairwise(own.customer_start)
    ]


def measure_baseline(name: str, history: Baskets, test: Targets, k: int) -> ranking.BasketMeasures:
    """Fit a baseline on what is not held out, and measure it on what is."""
    ranked = basket_baselines.BASELINES[name]().fit(history).rank(test.customer, k)
    ids = [[history.item_ids[i] for i in row if i >= 0] for row in ranked.tolist()]
    return ranking.measure_baskets(ids, names_of(history, test), seen_by(history, test), k)


def judge(metrics: dict[str, Any], options: Options) -> tuple[bool, str]:
    """Return whether the model is better than what it stands beside, and by what."""
    name = f"recall@{options.top}"
    if metrics["repeat customers"] == 0:
        completed = {"complete_basket": 0.0, "cosine": 0.0} | metrics["completion"]
        ours, cosine, live = completed["complete_basket"], completed["cosine"], completed.get(LIVE)
        reason = f"it completes {ours:.4f} of the carts, the cosine of co-purchase {cosine:.4f}"
        if live is None:
            return ours > cosine, reason
        return ours > max(cosine, live), f"{reason}, the live model {live:.4f}"
    return beats_all({who: m for who, m in metrics.items() if who != "network alone"}, name)
