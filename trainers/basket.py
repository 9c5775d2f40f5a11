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
import numpy.typing as npt
from pgvector import Vector
from psycopg.types.json import Jsonb
from scipy import sparse

from aisle import sql
from aisle.embedder import customers as customer_files
from aisle.embedder.baskets import recency, tastes
from aisle.embedder.customers import CustomerEmbedder, CustomerGeneration, States, TasteStates, columns
from aisle.embedder.pipeline import drain
from aisle.sql import Connection, errors, registry
from aisle.trainers import basket_baselines, completion, ranking
from aisle.trainers.baskets import Baskets, Bools, Doubles, Floats, Ints, Targets, check_attached, read_baskets
from aisle.trainers.bulk import INDEX_FROM, copy_rows, create_index
from aisle.trainers.run import Report, Result, beats_all, environment, failing, only_trainer

if TYPE_CHECKING:  # torch is loaded only for a model that has a network
    from aisle.embedder.order_states import StateModel

GATE = ("p-top", "gp-top", "tifu-knn")  # what a model must beat on the held-out customers
TASTE = 128  # dimensions
DECAY = (0.9, 0.6)  # of what a purchase counts, with each order since
SHRINKAGE = 5.0  # purchases' worth of the average gap that are mixed into an item's own
WEIGHTS_SHARE = 0.25  # of the customers who are not held out: their last orders fit the weights
MOST_FOR_WEIGHTS = 20_000  # customers; more change nothing
BATCH = 2000  # customers whose candidates are scored at once
MOST_COMPLETED = 4000  # carts that are completed to measure that
NETWORKS = ("cnn-gru", "attention-gru")
FEWEST = 10  # customers with two orders
RIDGE = 1.0  # of the weights, on standardised columns
LATEST, LATE = 0.04, 4.0  # least time since a purchase (days: an hour), and the bound of the logarithm of lateness
DAY = 86_400.0  # seconds
NEAR_FLOOR = 0.001  # share of neighbours

# What the weights are of, after the constant; products that are new to the customer have the first five.
TERMS = ("neighbours", "popularity", "logit", "size", "orders", "recency", "fast_recency", "last", "late", "late²")
NEW_TERMS = TERMS[:5]


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
    network: dict[str, Any] = field(default_factory=dict)  # options of trainers.order_networks


@dataclass(frozen=True)
class Fitted:
    """What is fitted once, by gradient descent."""

    network: "StateModel | None"
    cart: Floats  # (items, d), what each product adds to an open cart
    completion: Floats  # (items, d + 1), what an open cart is compared with
    companions: sparse.csr_array  # (items, items), cosines of co-purchase
    companion_weight: float


@dataclass(frozen=True)
class Learned:
    """What is known of products, and how states come about: all but the weights."""

    item_tastes: Floats  # (items, ≤ TASTE)
    popularity: Doubles  # (items,), share of the orders
    gap: Doubles  # (items,), usual time between two purchases
    average_gap: float
    rarest: float  # a share of the orders that nothing is below, for a logarithm
    size: float  # of an order, on average
    fitted: Fitted
    products: Floats  # (items, dimensions), what states are compared with

    @property
    def states(self) -> States:
        """What makes states."""
        return self.fitted.network or TasteStates(self.item_tastes, DECAY[0])


@dataclass(frozen=True)
class Candidates:
    """Products that a customer may order next, with what is known of both."""

    customer: Ints  # (candidates,), ascending
    item: Ints  # (candidates,)
    again: Bools  # (candidates,), bought before
    terms: Doubles  # (candidates, TERMS)


@dataclass(frozen=True)
class Weights:
    """Of a constant and the terms."""

    again: Doubles  # (1 + TERMS,)
    new: Doubles  # (1 + NEW_TERMS,)
    logit: float  # what stands in for the logit of a customer without a state, or of a product that the model lacks

    def scores(self, candidates: Candidates) -> Doubles:
        """Return (candidates,)."""
        again = self.again[0] + candidates.terms @ self.again[1:]
        new = self.new[0] + candidates.terms[:, : len(NEW_TERMS)] @ self.new[1:]
        return np.asarray(np.where(candidates.again, again, new))


# Where nobody has two orders: what was bought before may come again, and what is popular may come.
UNKNOWING = Weights(np.array([-3.0, *np.zeros(len(TERMS))]), np.array([0.0, 0.0, 1.0, 0.0, 0.0, 0.0]), 0.0)


def train(url: str, options: Options, report: Report = lambda line: None) -> Result:
    """Train on the attached orders, publish a generation, measure it through SQL, and deploy it if it is better.

    Raises TrainingDataError when there is too little to learn from. No failure touches the live model.
    """
    started = time.monotonic()
    with sql.connect(url, application_name="aisle train basket") as connection, only_trainer(connection, "basket"):
        # Read before the orders: of a customer whose orders change in between, the hash is that of the older ones.
        hashes = read_hashes(connection)
        baskets = read_baskets(connection)
        history, test = hold_out(baskets, options)
        report(
            f"{len(baskets):,} orders of {baskets.customers:,} customers with {baskets.items:,} products; "
            f"{len(test):,} customers' last are held out."
        )
        by_time = has_times(connection)
        learned, weights = fit(history, test, options, by_time, report)
        model_id = publish(connection, baskets, test, learned, weights, hashes, options, by_time)
        with failing(connection, model_id):
            metrics = measure(connection, model_id, history, test, options, report)
            seconds = time.monotonic() - started
            deploys, reason = judge(metrics, options)
            connection.execute(
                "update aisle._models set state = 'ready', metrics = %s, data = %s, environment = %s "
                "where model_id = %s",
                (
                    Jsonb(metrics),
                    Jsonb({"orders": len(baskets), "customers": baskets.customers, "items": baskets.items,
                           "fingerprint": baskets.fingerprint()}),
                    Jsonb(environment(seconds)),
                    model_id,
                ),
            )  # fmt: skip
        if deploys:
            connection.execute("select aisle.deploy(%s)", (model_id,))
    return Result(model_id, metrics, deploys, reason, seconds)


def read_hashes(connection: Connection) -> dict[str, bytes]:
    """Return the hash of each customer's orders; raises NotAttachedError where none are attached."""
    check_attached(connection)
    return dict(connection.execute("select user_id::text, content_hash from aisle._customers").fetchall())


def has_times(connection: Connection) -> bool:
    """Return whether orders have times; numbers do not say which customer's order was before another's."""
    return bool(
        sql.fetch_value(
            connection,
            "select time_type not in ('smallint', 'integer', 'bigint') from aisle._attachments where kind = 'orders'",
        )
    )


def hold_out(baskets: Baskets, options: Options) -> tuple[Baskets, Targets]:
    """Hold out the last order of some customers who have two at least; raise TrainingDataError if nothing is left."""
    several = np.flatnonzero(baskets.orders_of >= 2)
    if len(several) < FEWEST and options.test_customers is None:
        return hold_out_orders(baskets, options.test_share, options.seed)
    chosen = np.zeros(baskets.customers, dtype=bool)
    if options.test_customers is None:
        random = np.random.default_rng(options.seed)
        chosen[random.choice(several, max(1, round(options.test_share * len(several))), replace=False)] = True
    else:
        chosen[[c for c in several.tolist() if baskets.customer_ids[c] in options.test_customers]] = True
    history, test = baskets.hold_out_last(chosen)
    if not len(test):
        raise errors.TrainingDataError("None of the customers to be tested has two orders.")
    return history, test


def hold_out_orders(baskets: Baskets, share: float, seed: int) -> tuple[Baskets, Targets]:
    """Hold out whole orders, where nobody has two: all that can be learned is what is bought together."""
    orders = np.flatnonzero(np.diff(baskets.order_start) >= 2)
    if len(orders) < FEWEST or baskets.items < 2:
        raise errors.TrainingDataError(
            f"There are {int((baskets.orders_of >= 2).sum())} customers with two orders or more, and {len(orders)} "
            f"orders of two products or more; {FEWEST} of the ones or the others are the least.",
            hint="Attach a table with more orders.",
        )
    random = np.random.default_rng(seed)
    chosen = np.sort(random.choice(orders, max(1, round(min(share, 0.5) * len(orders))), replace=False))
    kept = np.ones(len(baskets), dtype=bool)
    kept[chosen] = False
    _, first = np.unique(baskets.customer_of_order[chosen], return_index=True)
    return baskets.select_orders(kept), baskets.targets(chosen[first])


def fit(history: Baskets, test: Targets, options: Options, by_time: bool, report: Report) -> tuple[Learned, Weights]:
    """Learn from the customers who are not held out, or, where all are, from all orders before the held-out ones."""
    learners = np.ones(history.customers, dtype=bool)
    learners[test.customer] = False
    if not learners.any():
        learners[:] = True
    own = history.select_customers(learners)
    random = np.random.default_rng(options.seed)
    several = np.flatnonzero(own.orders_of >= 2)
    if not len(several):
        before, wanted = hold_out_orders(own, WEIGHTS_SHARE, options.seed)
        return learn(
            own, fit_networks(before, wanted, replace(options, model="taste"), report), options.seed
        ), UNKNOWING
    chosen = np.zeros(own.customers, dtype=bool)
    size = min(max(1, round(WEIGHTS_SHARE * len(several))), MOST_FOR_WEIGHTS)
    chosen[random.choice(several, size, replace=False)] = True
    before, wanted = own.hold_out_last(chosen)
    fitted = fit_networks(before, wanted, options, report)
    report(f"Fitting the weights to the last orders of {len(wanted):,} customers …")
    learned = learn(before, fitted, options.seed)
    found = candidates(before, wanted, learned, neighbours_of(before, learned), options, by_time)
    return learn(own, fitted, options.seed), fit_weights(found, wanted)


def fit_networks(before: Baskets, wanted: Targets, options: Options, report: Report) -> Fitted:
    """Fit what completes a cart, and the network that was asked for, stopped by the wanted orders."""

    def progress(epoch: int, loss: float, metric: float | None) -> None:
        shown = "" if metric is None else f", validation recall {metric:.4f}"
        report(f"  epoch {epoch}: loss {loss:.3f}{shown}")

    report("Fitting what is bought together …")
    completed = completion.fit(before, completion.Options(), seed=options.seed, progress=progress)
    network = None
    if options.model in NETWORKS:
        from aisle.trainers import order_networks

        report(f"Fitting {options.model} …")
        network_options = order_networks.Options(model=options.model, **options.network)
        network = order_networks.fit(before, wanted, network_options, seed=options.seed, progress=progress)
    cosines = completion.companions(before)
    orders = [items for items in map(wanted.basket, range(len(wanted))) if len(items) > 1][:MOST_COMPLETED]
    hidden = np.array([items[place % len(items)] for place, items in enumerate(orders)], dtype=np.int64)
    carts = [items[items != one] for items, one in zip(orders, hidden, strict=True)]
    weight = completion.companion_weight(completed, cosines, carts, hidden, options.top)
    return Fitted(network, completed.cart, completed.completion, cosines, weight)


def learn(baskets: Baskets, fitted: Fitted, seed: int) -> Learned:
    """Learn what there is to know of products from orders."""
    # How much an item tells about a customer: tf-idf as for words, with log(1 + decayed count) for the frequency.
    pairs = np.unique(baskets.customer_of_order[baskets.order_of_line] * baskets.items + baskets.item)
    buyers = np.bincount(pairs % baskets.items, minlength=baskets.items)
    rarity = np.log((1 + baskets.customers) / (1 + buyers))
    counts = recency(baskets, DECAY[0])
    counts.data = np.log1p(counts.data) * rarity[counts.indices]
    directions = principal_directions(counts, seed)  # (items, d)
    item_tastes = (directions * rarity[:, None]).astype(np.float32)
    gap, average_gap = gaps(baskets)
    return Learned(
        item_tastes=item_tastes,
        popularity=np.bincount(baskets.item, minlength=baskets.items) / max(len(baskets), 1),
        gap=gap,
        average_gap=average_gap,
        rarest=1 / max(len(baskets), 1),
        size=len(baskets.item) / max(len(baskets), 1),
        fitted=fitted,
        products=fitted.network.products if fitted.network else directions.astype(np.float32),
    )


def principal_directions(matrix: sparse.csr_array, seed: int) -> Doubles:
    """Return the first right singular vectors, (columns, ≤ TASTE)."""
    from sklearn.utils.extmath import randomized_svd

    dimensions = min(TASTE, *matrix.shape)
    return np.asarray(randomized_svd(sparse.csr_matrix(matrix), dimensions, n_iter=4, random_state=seed)[2].T)


def gaps(baskets: Baskets) -> tuple[Doubles, float]:
    """Return the usual time between two purchases of each item by a customer, (items,), and of any."""
    customer = baskets.customer_of_order[baskets.order_of_line]
    at = baskets.at[baskets.order_of_line]
    rows = np.lexsort((at, baskets.item, customer))
    key = (customer * baskets.items + baskets.item)[rows]
    same = key[1:] == key[:-1]
    between = np.maximum(np.diff(at[rows])[same], 0)
    item = (key[1:] % baskets.items)[same]
    average = max(float(between.mean()), LATEST) if len(between) else 1.0
    sums = np.bincount(item, between, minlength=baskets.items)
    times = np.bincount(item, minlength=baskets.items)
    return (sums + SHRINKAGE * average) / (times + SHRINKAGE), average


@dataclass(frozen=True)
class Pool:
    """Neighbours: each customer's taste before the last order, and what that contained."""

    customer: Ints  # (neighbours,)
    taste: Floats  # (neighbours, d)
    bought: sparse.csr_array  # (neighbours, items), 0 or 1
    known_at: Doubles  # (neighbours,)


def neighbours_of(baskets: Baskets, learned: Learned) -> Pool:
    """Return the customers who can be neighbours: those with two orders."""
    before, last = baskets.hold_out_last()
    taste = tastes(before, learned.item_tastes, DECAY[0])[last.customer]
    there = taste.any(axis=1)
    ones = np.ones(len(last.item))
    bought = sparse.csr_array((ones, last.item, last.start), shape=(len(last), baskets.items))
    return Pool(last.customer[there], taste[there], bought[there], last.at[there])


def shares(pool: Pool, customers: Ints, taste: Floats, moments: Doubles | None, neighbours: int) -> sparse.csr_array:
    """Return the share of each customer's neighbours who bought an item next, by squared cosine: (customers, items)."""
    if not len(pool.customer):
        return sparse.csr_array((len(customers), pool.bought.shape[1]))
    cosine = taste @ pool.taste.T  # (customers, pool)
    cosine[customers[:, None] == pool.customer[None, :]] = -1
    if moments is not None:
        cosine[pool.known_at[None, :] >= moments[:, None]] = -1
    k = min(neighbours, cosine.shape[1])
    nearest = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
    weight = np.take_along_axis(cosine, nearest, axis=1).clip(0).astype(np.float64) ** 2
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)
    rows = np.repeat(np.arange(len(customers)), k)
    chosen = sparse.csr_array((weight.ravel(), (rows, nearest.ravel())), shape=cosine.shape)
    return sparse.csr_array(chosen @ pool.bought)


def candidates(
    history: Baskets, targets: Targets, learned: Learned, pool: Pool, options: Options, by_time: bool
) -> Candidates:
    """Return what each target's customer may order at its time, from the history as `Baskets` has it."""
    parts = [
        _candidates(
            history, targets.customer[s : s + BATCH], targets.at[s : s + BATCH], learned, pool, options, by_time
        )
        for s in range(0, len(targets), BATCH)
    ]
    return Candidates(
        np.concatenate([p.customer for p in parts]),
        np.concatenate([p.item for p in parts]),
        np.concatenate([p.again for p in parts]),
        np.concatenate([p.terms for p in parts]),
    )


def _candidates(
    history: Baskets,
    customers: Ints,
    moments: Doubles,
    learned: Learned,
    pool: Pool,
    options: Options,
    by_time: bool,
) -> Candidates:
    own = history.select_customers(customers)
    items = own.items
    states = learned.states.states(own)  # (customers, dimensions)
    logits = states @ learned.products.T  # (customers, items)
    taste = tastes(own, learned.item_tastes, DECAY[0])
    near = shares(pool, customers, taste, moments if by_time else None, options.neighbours)

    bought = _purchases(own)
    keys = [bought.key, *(_best(near, options.nearest)), *(_best_columns(logits, options.nearest))]
    key = np.unique(np.concatenate(keys))
    row, item = key // items, key % items
    place = np.searchsorted(key, bought.key)
    again = np.zeros(len(key), dtype=bool)
    again[place] = True

    terms = np.zeros((len(key), len(TERMS)))
    terms[:, 0] = np.log(near[row, item] + NEAR_FLOOR)
    terms[:, 1] = np.log(learned.popularity[item] + learned.rarest)
    terms[:, 2] = logits[row, item]
    terms[:, 3] = np.log(np.diff(own.order_start[own.customer_start])[row] / own.orders_of[row])
    terms[:, 4] = np.log(own.orders_of[row])
    usual = np.maximum((bought.span + learned.gap[bought.key % items]) / bought.times, LATEST)
    late = np.log(np.maximum(moments[bought.key // items] - bought.last_at, LATEST) / usual)
    terms[place, 5] = np.log(bought.recency)
    terms[place, 6] = np.log(bought.fast_recency)
    terms[place, 7] = bought.ago == 0
    terms[place, 8] = np.clip(late, -LATE, LATE)
    terms[place, 9] = np.minimum(late**2, LATE**2)
    return Candidates(customers[row], item, again, terms)


@dataclass(frozen=True)
class Purchases:
    """What is known of each pair of a customer and an item bought, (pairs,) each, by ascending key."""

    key: Ints  # customer × items + item
    times: Ints
    recency: Doubles
    fast_recency: Doubles
    ago: Ints  # orders since the last purchase
    last_at: Doubles
    span: Doubles  # from the first to the last purchase


def _purchases(baskets: Baskets) -> Purchases:
    order = baskets.order_of_line
    customer = baskets.customer_of_order[order]
    ago = baskets.customer_start[1:][customer] - 1 - order
    key = customer * baskets.items + baskets.item
    rows = np.lexsort((order, key))
    key, ago, at = key[rows], ago[rows], baskets.at[order][rows]
    first = np.flatnonzero(np.append(True, key[1:] != key[:-1]) if len(key) else np.zeros(0, dtype=bool))
    last = np.append(first[1:], len(key)) - 1 if len(first) else first
    slow, fast = DECAY

    def total(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.add.reduceat(values, first) if len(first) else values

    return Purchases(
        key[first],
        total(np.ones(len(key), dtype=np.int64)),
        total(slow**ago),
        total(fast**ago),
        ago[last],
        at[last],
        at[last] - at[first],
    )


def _best(shares: sparse.csr_array, k: int) -> list[Ints]:
    """Return, as keys, the k items of each row with the largest share, the first of equals first."""
    keys = []
    for row in range(shares.shape[0]):
        start, stop = shares.indptr[row], shares.indptr[row + 1]
        item, share = shares.indices[start:stop], shares.data[start:stop]
        keys.append(row * shares.shape[1] + item[np.lexsort((item, -share))[:k]].astype(np.int64))
    return keys


def _best_columns(logits: Floats, k: int) -> list[Ints]:
    k = min(k, logits.shape[1])
    best = np.argpartition(-logits, k - 1, axis=1)[:, :k]
    return list(np.arange(len(logits))[:, None] * logits.shape[1] + best)


def fit_weights(found: Candidates, wanted: Targets) -> Weights:
    """Fit a logistic regression to what was ordered, apart for products bought before and new ones."""
    from sklearn.linear_model import LogisticRegression

    items = int(max(found.item.max(), wanted.item.max(initial=0))) + 1
    owner = np.repeat(wanted.customer, np.diff(wanted.start))
    ordered = np.isin(found.customer * items + found.item, owner * items + wanted.item)

    def weigh(rows: Bools, terms: int) -> Doubles:
        x, y = found.terms[rows, :terms], ordered[rows]
        if y.all() or not y.any():  # as in a shop where nobody comes back to the same things
            share = (y.sum() + 0.5) / (len(y) + 1)
            return np.array([np.log(share / (1 - share)), *np.zeros(terms)])
        mean, sd = x.mean(axis=0), x.std(axis=0)
        sd[sd < 1e-6] = np.inf  # nothing but rounding
        model = LogisticRegression(C=1 / RIDGE, max_iter=500).fit((x - mean) / sd, y)
        slopes = model.coef_[0] / sd
        return np.array([model.intercept_[0] - slopes @ mean, *slopes])

    return Weights(weigh(found.again, len(TERMS)), weigh(~found.again, len(NEW_TERMS)), float(found.terms[:, 2].mean()))


def publish(
    connection: Connection,
    baskets: Baskets,
    test: Targets,
    learned: Learned,
    weights: Weights,
    hashes: dict[str, bytes],
    options: Options,
    by_time: bool,
) -> int:
    """Load products and customers as a generation, and let the embedder add what changed; return the model's id."""
    dimensions = learned.products.shape[1]
    model_id = registry.create(
        connection,
        "basket",
        dimensions,
        encoder=None,
        parameters={
            "model": options.model,
            "weights": {"bought_before": weights.again.tolist(), "new": weights.new.tolist()},
            "terms": TERMS,
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
            "options": {k: v for k, v in asdict(options).items() if k not in ("test_customers", "deploy")},
        },
    )
    if learned.fitted.network:
        customer_files.store(connection, model_id, learned.fitted.network)
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
            if user_id in hashes
        ),
    )
    connection.execute(
        sql.read("queries/add_heldout_users"),
        {
            "kind": "orders",
            "model_id": model_id,
            "user_ids": [baskets.customer_ids[c] for c in test.customer],
            "moments": (test.at * DAY).tolist(),
            "contexts": ["{}"] * len(test),
            "relevant": [sql.array([baskets.item_ids[i] for i in test.basket(t)]) for t in range(len(test))],
        },
    )
    create_indexes(connection, model_id)
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


def create_indexes(connection: Connection, model_id: int) -> None:
    """Index a loaded generation where that pays, and count its rows for the planner."""
    for table, column in (("basket_items", "embedding"), ("basket_items", "completion"), ("customer_vectors", "taste")):
        partition = f"{table}_{model_id}"
        rows, dimensions = sql.fetch_row(
            connection,
            f"select count({column}), max(vector_dims({column})) from aisle.{partition}",  # noqa: S608 - ours
        )
        if rows >= INDEX_FROM:
            create_index(connection, partition, dimensions, "halfvec_ip_ops", column=column)
        connection.execute(f"analyze aisle.{partition}".encode())


def read_model(connection: Connection, model_id: int, baskets: Baskets) -> tuple[Learned, Weights]:
    """Return what `publish` stored, for the products of `baskets`, which the model must know."""
    parameters = registry.get(connection, model_id).parameters
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
        ),
        products=np.array([row[0].to_numpy() for row in rows])[places],
    )
    weights = parameters["weights"]
    return learned, Weights(np.array(weights["bought_before"]), np.array(weights["new"]), parameters["logit"])


def answers(
    connection: Connection, model_id: int, heldout_of: int, history: Baskets, test: Targets, k: int | None
) -> list[list[str]]:
    """Ask a model, in SQL, for the customers that another was held out from, at their moments.

    What the worker would have had as their states before those moments is computed anew.
    """
    generation = CustomerEmbedder().load(connection, model_id)
    asked = history.select_customers(test.customer).renumber(list(generation.numbers))
    rows = connection.execute(
        sql.read("queries/next_baskets_heldout"),
        {
            "model_id": model_id,
            "heldout_of": heldout_of,
            "k": k,
            "user_ids": list(asked.customer_ids),
            "states": [Vector(state) for state in generation.states.states(asked)],
        },
    ).fetchall()
    return [row[0] for row in rows]


def measure(
    connection: Connection, model_id: int, history: Baskets, test: Targets, options: Options, report: Report
) -> dict[str, Any]:
    """Measure the model, the live one and the baselines on the held-out customers."""
    k = options.top
    report("Measuring on held-out customers, through SQL …")
    wanted = names_of(history, test)
    seen = seen_by(history, test)
    metrics: dict[str, Any] = {
        "customers": len(test),
        "repeat customers": int((history.orders_of[test.customer] >= 1).sum()),
    }
    metrics |= ranking.measure_baskets(
        answers(connection, model_id, model_id, history, test, k), wanted, seen, k
    ).means()
    best_sets = answers(connection, model_id, model_id, history, test, None)
    metrics["f1-optimal"] = ranking.measure_sets(best_sets, wanted)
    live = registry.live(connection, "basket")
    if live is not None:
        ranked = answers(connection, live, model_id, history, test, k)
        metrics["live"] = ranking.measure_baskets(ranked, wanted, seen, k).means()
    metrics["completion"] = measure_completion(connection, model_id, history, test, k, options.seed)
    for name in GATE:
        report(f"Fitting the baseline {name} …")
        metrics[name] = measure_baseline(name, history, test, k).means()
    return metrics


def held_out_of(connection: Connection, model_id: int, baskets: Baskets) -> tuple[Baskets, Targets]:
    """Return what a published model was measured on: the orders before its moments, and those that followed."""
    moments = np.full(baskets.customers, np.inf)
    numbers = {user_id: c for c, user_id in enumerate(baskets.customer_ids)}
    rows = connection.execute(sql.read("queries/heldout_users"), {"model_id": model_id, "kind": "orders"}).fetchall()
    for user_id, moment, _ in rows:
        if user_id in numbers:
            moments[numbers[user_id]] = moment / DAY
    after = baskets.at >= moments[baskets.customer_of_order]
    # The first of the orders since, should there be others.
    first = np.append(True, ~after[:-1]) | np.isin(np.arange(len(baskets)), baskets.customer_start)
    return baskets.select_orders(~after), baskets.targets(np.flatnonzero(after & first))


def measure_completion(
    connection: Connection, model_id: int, history: Baskets, test: Targets, k: int, seed: int
) -> dict[str, float]:
    """Hide a product of each held-out order; return the share of carts that get it back, beside two simple rules."""
    random = np.random.default_rng(seed)
    orders = [items for items in map(test.basket, range(len(test))) if len(items) > 1]
    if not orders:
        return {}
    orders = [orders[o] for o in random.permutation(len(orders))[:MOST_COMPLETED]]
    hidden = [random.choice(items) for items in orders]
    carts = [items[items != one] for items, one in zip(orders, hidden, strict=True)]
    rows = connection.execute(
        sql.read("queries/complete_heldout"),
        {
            "model_id": model_id,
            "k": k,
            "carts": [sql.array([history.item_ids[i] for i in items]) for items in carts],
        },
    ).fetchall()
    found = {"carts": float(len(carts))}
    found["complete_basket"] = float(
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
    """Return whether to deploy the model, and why."""
    if options.deploy is not None:
        return options.deploy, "as told"
    name = f"recall@{options.top}"
    if metrics["repeat customers"] == 0:
        ours, theirs = (metrics["completion"].get(n, 0.0) for n in ("complete_basket", "cosine"))
        return ours > theirs, f"it completes {ours:.4f} of the carts, the cosine of co-purchase {theirs:.4f}"
    return beats_all(metrics, name)
