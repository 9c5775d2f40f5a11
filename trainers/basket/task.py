"""The basket task: orders → the next order, `aisle train basket`.

    orders ──▶ hold out some customers' last ──▶ of the others, hold out some customers' last for the weights
           ──▶ customers' vectors, popularity, gaps, a network ──▶ weights ──▶ load
           ──▶ measure in SQL, beside the live model and the baselines ──▶ deploy if it is better

A customer's next order consists mostly of products bought before, then of those that similar customers ordered next.
The score is a weighted sum of features of both, and of the network's logit: next_basket() computes it from the present
rows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from aisle import db
from aisle.db import Connection, errors
from aisle.embedder.orders import Baskets, Floats, Targets
from aisle.trainers import ranking
from aisle.trainers.basket import baselines as basket_baselines
from aisle.trainers.basket import loading, measures
from aisle.trainers.basket.fit import fit, read_start
from aisle.trainers.basket.held_out import hold_out, read_held_out
from aisle.trainers.basket.options import Options
from aisle.trainers.basket.read_orders import check_attached, read_baskets
from aisle.trainers.basket.score import Learned, Weights
from aisle.trainers.gate import Verdict, beats_all
from aisle.trainers.odd_values import report_odd_values
from aisle.trainers.recommender.events import read_items
from aisle.trainers.task import Metrics, Report, Task
from aisle.trainers.warm_start import Seen, Start

if TYPE_CHECKING:
    from aisle.trainers.basket.fit_order_network import NetworkStart

GATE = ("p-top", "gp-top", "tifu-knn")  # the baselines to beat on the held-out customers


@dataclass(frozen=True)
class Orders:
    """All orders, and facts about them from the database."""

    baskets: Baskets
    hashes: Mapping[str, bytes]  # of each customer's orders
    by_time: bool  # whether orders have times; numbers do not order the orders of different customers
    texts: Floats | None  # products' text vectors, (items, any)


@dataclass(frozen=True)
class HeldOut:
    """The held-out orders, and the orders before them."""

    history: Baskets
    test: Targets


@dataclass(frozen=True)
class Fitted:
    """The fitted model, the keys that it has learned from, and its warm start."""

    learned: Learned
    weights: Weights
    seen: Seen
    started_from: int | None


class BasketTask(Task[Options, Orders, HeldOut, Fitted]):
    """Orders → the next order."""

    name = "basket"
    options = Options
    answer = "next_basket"
    metric = "recall@{top}"
    overlap_query = "queries/answers_of_customers"
    recall_query = "queries/recall_of_products"

    def source(self, connection: Connection) -> str:
        """Learn from the attached orders."""
        return "_orders"

    def read(self, connection: Connection, options: Options, report: Report) -> Orders:
        """Read the orders."""
        # Hashes before orders: if a customer's orders change in between, the stored hash is stale and the worker
        # notices.
        check_attached(connection)
        rows = connection.execute("select user_id::text, content_hash from aisle._customers").fetchall()
        baskets = read_baskets(connection)
        report_odd_values(connection, "orders", report)
        by_time = db.fetch_value(
            connection,
            "select time_type not in ('smallint', 'integer', 'bigint') from aisle._attachments where kind = 'orders'",
        )
        texts = read_texts(connection, baskets.item_ids) if options.text_vectors else None
        return Orders(baskets, dict(rows), bool(by_time), texts)

    def start(self, connection: Connection, data: Orders, options: Options) -> "tuple[Start, NetworkStart]":
        """Return the live model's network."""
        return read_start(connection, self.name, data.baskets, options)

    def split(self, data: Orders, options: Options, start: "tuple[Start, NetworkStart] | None" = None) -> HeldOut:
        """Hold out the last orders of some customers."""
        return HeldOut(*hold_out(data.baskets, options, start and start[0]))

    def describe(self, data: Orders, held_out: HeldOut) -> str:
        """Return the number of orders, customers and products."""
        baskets = data.baskets
        return (
            f"{len(baskets):,} orders of {baskets.customers:,} customers with {baskets.items:,} products; "
            f"{len(held_out.test):,} customers' last orders are held out."
        )

    def fit(
        self, connection: Connection, data: Orders, held_out: HeldOut, options: Options, report: Report,
        start: "tuple[Start, NetworkStart] | None" = None,
    ) -> Fitted:  # fmt: skip
        """Fit the terms of the score, and their weights."""
        weights_of, network = start or (None, None)
        learned, weights, seen = fit(
            held_out.history, held_out.test, options, data.by_time, report,
            texts=data.texts, start=weights_of, network=network,
        )  # fmt: skip
        return Fitted(learned, weights, seen, None if weights_of is None else weights_of.model_id)

    def load(
        self, connection: Connection, data: Orders, held_out: HeldOut, fitted: Fitted, options: Options,
        parameters: Mapping[str, Any],
    ) -> int:  # fmt: skip
        """Copy the vectors of products and customers."""
        parameters = {
            **parameters,
            "model": options.model,
            "neighbours": options.neighbours,
            "nearest": options.nearest,
            "time": "days" if data.by_time else "numbers",
            "started_from": fitted.started_from,
        }
        return loading.load(
            connection, self.name, data.baskets, held_out.test, fitted.learned, fitted.weights, data.hashes,
            fitted.seen, parameters,
        )  # fmt: skip

    def score(
        self, connection: Connection, model_id: int, held_out: HeldOut, options: Options, *, heldout_of: int
    ) -> Metrics:
        """Query the held-out customers, at their moments."""
        history, test, k = held_out.history, held_out.test, options.top
        if model_id == heldout_of:
            measures.check_answers(connection, model_id, history, test)
        ranked = [items for items, _ in measures.answers(connection, model_id, heldout_of, history, test, k)]
        wanted, seen = measures.names_of(history, test), measures.seen_by(history, test)
        return {"customers": len(test), **ranking.measure_baskets(ranked, wanted, seen, k).means()}

    def measure(
        self, connection: Connection, model_id: int, held_out: HeldOut, fitted: Fitted, options: Options,
        live: int | None,
    ) -> Metrics:  # fmt: skip
        """Measure the first k products, the best sets and completed carts."""
        return measures.measure(
            connection, model_id, held_out.history, held_out.test, fitted.learned, options.top, options.seed, live
        )

    def baselines(
        self, held_out: HeldOut, options: Options, *, all_of_them: bool, report: Report
    ) -> Mapping[str, Callable[[], Metrics]]:
        """Compare with own frequencies, TIFU-KNN and, in evaluations, further models."""

        def fit_and_score(name: str) -> Metrics:
            means = measures.measure_baseline(name, held_out.history, held_out.test, options.top).means()
            return {"customers": len(held_out.test), **means}

        wanted = basket_baselines.BASELINES if all_of_them else GATE
        return {
            name: lambda name=name: fit_and_score(name)  # type: ignore[misc]
            for name in wanted
            if name != "xgboost" or find_spec("xgboost") is not None
        }

    def verdict(self, metrics: Metrics, options: Options) -> Verdict:
        """Compare recall or, if no customer has two orders, completed carts.

        The first model also goes live if it is as good as a customer's own frequencies: it answers what these cannot.
        """
        if metrics["repeat customers"]:
            rivals = {who: m for who, m in metrics.items() if who != measures.NETWORK_ALONE}
            name = self.metric_of(options)
            passed, reason = beats_all(rivals, name)
            is_first = "live" not in metrics
            return Verdict(passed, reason, passed or (is_first and metrics[name] >= metrics[GATE[0]][name]))
        completed = {"complete_basket": 0.0, "cosine": 0.0} | metrics["completion"]
        ours, cosine, live = completed["complete_basket"], completed["cosine"], completed.get(measures.LIVE)
        reason = f"it completes {ours:.4f} of the carts, the cosine of co-purchase {cosine:.4f}"
        if live is not None:
            reason += f", the live model {live:.4f}"
        passed = ours > max(cosine, live or 0.0)
        return Verdict(passed, reason, passed)

    def facts(self, connection: Connection, data: Orders) -> dict[str, Any]:
        """Return the number of orders, customers and products, too."""
        return super().facts(connection, data) | {
            "orders": len(data.baskets),
            "customers": data.baskets.customers,
            "items": data.baskets.items,
            "fingerprint": data.baskets.fingerprint(),
        }

    def held_out_of(self, connection: Connection, model_id: int, options: Options, *, for_baselines: bool) -> HeldOut:
        """Return the held-out customers whose orders still exist."""
        held_out = HeldOut(*read_held_out(connection, model_id, read_baskets(connection)))
        if not len(held_out.test):
            raise errors.TrainingDataError("None of the held-out customers' orders exists any more.")
        return held_out


def read_texts(connection: Connection, item_ids: Sequence[str]) -> Floats:
    """Return the text vectors of products, (items, any), by the live category model; zeros: not attached."""
    items = read_items(connection, with_texts=True)
    texts = dict(zip(items.ids, items.texts if items.texts is not None else (), strict=True))
    nothing = np.zeros_like(next(iter(texts.values())))
    return np.stack([texts.get(item_id, nothing) for item_id in item_ids])


TASK = BasketTask()
