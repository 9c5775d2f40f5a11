"""Holds out the orders that measure a basket model: some customers' last orders."""

import numpy as np

from aisle import db
from aisle.db import Connection, errors
from aisle.embedder.orders import DAY, Baskets, Bools, Ints, Targets
from aisle.trainers import warm_start
from aisle.trainers.basket.options import Options
from aisle.trainers.category.products import share
from aisle.trainers.warm_start import Start

FEWEST = 10  # customers with two orders


def hold_out(baskets: Baskets, options: Options, start: Start | None = None) -> tuple[Baskets, Targets]:
    """Hold out the last order of some customers with at least two; raise TrainingDataError if nothing is left."""
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
        raise errors.TrainingDataError("None of the customers to test has two orders.")
    return history, test


def choose(baskets: Baskets, customers: Ints, size: int, seed: int, start: Start | None) -> Bools:
    """Mark `size` of these customers, but none whose last order the warm start's weights have learned from.

    A hash of the id decides, so later runs, with more customers, choose the same. Raises WarmStartError if there are
    none to choose.
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
    """Hold out whole orders, if no customer has two: such a shop can learn only cart completion."""
    orders = np.flatnonzero(np.diff(baskets.order_start) >= 2)
    if len(orders) < FEWEST or baskets.items < 2:
        raise errors.TrainingDataError(
            f"There are {int((baskets.orders_of >= 2).sum())} customers with two orders or more, and {len(orders)} "
            f"orders of two products or more; at least {FEWEST} of either are needed.",
            hint="Attach a table with more orders.",
        )
    size = max(1, round(min(share_of_orders, 0.5) * len(orders)))
    # A hash of the customers decides, as in `choose`: so the live model has not learned from these orders.
    hashes = [share(baskets.customer_ids[c], seed) for c in baskets.customer_of_order[orders]]
    chosen = np.sort(orders[np.argsort(hashes, kind="stable")[:size]])
    kept = np.ones(len(baskets), dtype=bool)
    kept[chosen] = False
    _, first = np.unique(baskets.customer_of_order[chosen], return_index=True)
    return baskets.select_orders(kept), baskets.targets(chosen[first])


def read_held_out(connection: Connection, model_id: int, baskets: Baskets) -> tuple[Baskets, Targets]:
    """Return a loaded model's held-out orders: the orders before its moments, and those that followed."""
    moments = np.full(baskets.customers, np.inf)
    numbers = {user_id: c for c, user_id in enumerate(baskets.customer_ids)}
    rows = connection.execute(db.read("queries/heldout_users"), {"model_id": model_id, "kind": "orders"}).fetchall()
    for user_id, moment, _ in rows:
        if user_id in numbers:
            moments[numbers[user_id]] = moment / DAY
    after = baskets.at >= moments[baskets.customer_of_order]
    # The first of the later orders.
    first = np.append(True, ~after[:-1]) | np.isin(np.arange(len(baskets)), baskets.customer_start)
    return baskets.select_orders(~after), baskets.targets(np.flatnonzero(after & first))
