"""The customers' orders in memory, in order of time."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

DAY = 86_400.0  # seconds


@dataclass(frozen=True)
class Baskets:
    """The orders of customers, each customer's in order of time; customers and items are numbered from 0.

    The orders of customer c are `customer_start[c]` to `customer_start[c + 1]`, the lines of order o are
    `order_start[o]` to `order_start[o + 1]`. An item occurs once in an order. A customer may have no order, but no
    order is empty.
    """

    customer_start: Ints  # (customers + 1,), into orders
    order_start: Ints  # (orders + 1,), into lines
    item: Ints  # (lines,)
    quantity: Floats  # (lines,)
    at: Doubles  # (orders,), days since 1970, or the orders' numbers
    customer_ids: Sequence[str]
    item_ids: Sequence[str]

    def __len__(self) -> int:
        """Return the number of orders."""
        return len(self.at)

    @property
    def customers(self) -> int:
        """The number of customers, including those without orders."""
        return len(self.customer_start) - 1

    @property
    def items(self) -> int:
        """The number of items, including those without an order."""
        return len(self.item_ids)

    @property
    def orders_of(self) -> Ints:
        """(customers,): the number of orders of each customer."""
        return np.diff(self.customer_start)

    @property
    def customer_of_order(self) -> Ints:
        """(orders,): the customer of each order."""
        return np.repeat(np.arange(self.customers), self.orders_of)

    @property
    def order_of_line(self) -> Ints:
        """(lines,): the order of each line."""
        return np.repeat(np.arange(len(self)), np.diff(self.order_start))

    def basket(self, order: int) -> Ints:
        """Return the items of one order."""
        return self.item[self.order_start[order] : self.order_start[order + 1]]

    def select_orders(self, kept: Bools) -> "Baskets":
        """Return some of the orders, (orders,); customers and items keep their numbers."""
        lines = np.repeat(kept, np.diff(self.order_start))
        orders_before = np.concatenate([[0], np.cumsum(kept)])
        sizes = np.diff(self.order_start)[kept]
        return replace(
            self,
            customer_start=orders_before[self.customer_start],
            order_start=np.concatenate([[0], np.cumsum(sizes)]),
            item=self.item[lines],
            quantity=self.quantity[lines],
            at=self.at[kept],
        )

    def select_customers(self, kept: Bools | Ints) -> "Baskets":
        """Return some of the customers, numbered anew; items keep their numbers."""
        chosen: Ints = np.flatnonzero(kept) if kept.dtype == np.bool_ else kept.astype(np.int64)
        orders = _ranges(self.customer_start, chosen)
        lines = _ranges(self.order_start, orders)
        return replace(
            self,
            customer_start=starts_of(self.orders_of[chosen]),
            order_start=starts_of(np.diff(self.order_start)[orders]),
            item=self.item[lines],
            quantity=self.quantity[lines],
            at=self.at[orders],
            customer_ids=[self.customer_ids[c] for c in chosen],
        )

    def renumber(self, item_ids: Sequence[str]) -> "Baskets":
        """Return the orders with these item numbers, without unknown items and without orders that have no others."""
        numbers = {item: number for number, item in enumerate(item_ids)}
        item = np.array([numbers.get(name, -1) for name in self.item_ids], dtype=np.int64)[self.item]
        kept, order = item >= 0, self.order_of_line
        customer = self.customer_of_order[order]
        return group(
            customer[kept],
            order[kept],
            self.at[order][kept],
            item[kept],
            self.quantity[kept],
            self.customer_ids,
            item_ids,
        )

    def hold_out_last(self, customers: Bools | None = None) -> "tuple[Baskets, Targets]":
        """Hold out the last order of these customers, (customers,), if they have an earlier one; None: of all.

        Returns the remaining orders and the held-out ones.
        """
        held = self.orders_of >= 2
        if customers is not None:
            held &= customers
        chosen = np.flatnonzero(held)
        last = self.customer_start[1:][chosen] - 1
        kept = np.ones(len(self), dtype=bool)
        kept[last] = False
        return self.select_orders(kept), self.targets(last)

    def targets(self, orders: Ints) -> "Targets":
        """Return some orders, at most one a customer, in ascending order, as targets."""
        lines = _ranges(self.order_start, orders)
        sizes = np.diff(self.order_start)[orders]
        return Targets(self.customer_of_order[orders], self.at[orders], starts_of(sizes), self.item[lines])

    def fingerprint(self) -> str:
        """Return a hash of everything that training can see."""
        digest = hashlib.sha256()
        for names in (self.customer_ids, self.item_ids):
            digest.update("\x1e".join(names).encode())
        numbers: tuple[npt.NDArray[Any], ...] = (
            self.customer_start, self.order_start, self.item, self.quantity, self.at,
        )  # fmt: skip
        for array in numbers:
            digest.update(array.tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Targets:
    """The orders to predict: some customers' next orders after those in `Baskets`."""

    customer: Ints  # (targets,), ascending
    at: Doubles  # (targets,), when the order was made
    start: Ints  # (targets + 1,), into lines
    item: Ints  # (lines,)

    def __len__(self) -> int:
        return len(self.customer)

    def basket(self, target: int) -> Ints:
        """Return the items of one target."""
        return self.item[self.start[target] : self.start[target + 1]]

    def baskets(self) -> list[set[int]]:
        """Return the items of each target."""
        return [set(self.basket(target).tolist()) for target in range(len(self))]

    def select(self, kept: Bools | Ints) -> "Targets":
        """Return some of the targets; customers keep their numbers."""
        chosen: Ints = np.flatnonzero(kept) if kept.dtype == np.bool_ else kept.astype(np.int64)
        return Targets(
            self.customer[chosen],
            self.at[chosen],
            starts_of(np.diff(self.start)[chosen]),
            self.item[_ranges(self.start, chosen)],
        )


def group(
    customer: Ints,
    order: Ints,
    at: Doubles,
    item: Ints,
    quantity: Floats,
    customer_ids: Sequence[str],
    item_ids: Sequence[str],
) -> Baskets:
    """Return the baskets of unsorted lines, (lines,) each.

    `order`, from 0, numbers each line's order; of a customer's orders with equal times, the smaller number came first,
    and customers share no number. An order's time is that of its last line. If an item occurs twice in an order, the
    quantities are added. Lines without a positive quantity, such as returns, are left out, and so are orders without
    other lines.
    """
    last: Doubles = np.full(int(order.max(initial=-1)) + 1, -np.inf)
    bought = np.flatnonzero(quantity > 0)
    np.maximum.at(last, order[bought], at[bought])
    rows = bought[np.lexsort((item[bought], order[bought], last[order[bought]], customer[bought]))]
    customer, order, item, quantity = customer[rows], order[rows], item[rows], quantity[rows]
    is_new_order = np.ones(len(rows), dtype=bool)
    is_new_order[1:] = (customer[1:] != customer[:-1]) | (order[1:] != order[:-1])
    is_new_line = is_new_order.copy()
    is_new_line[1:] |= item[1:] != item[:-1]
    first = np.flatnonzero(is_new_line)
    first_of_order = np.flatnonzero(is_new_order)
    return Baskets(
        customer_start=np.searchsorted(customer[first_of_order], np.arange(len(customer_ids) + 1)),
        order_start=np.append(np.searchsorted(first, first_of_order), len(first)),
        item=item[first],
        quantity=np.add.reduceat(quantity, first) if len(first) else quantity,
        at=last[order[first_of_order]],
        customer_ids=customer_ids,
        item_ids=item_ids,
    )


def recency(baskets: Baskets, decay: float, last: int | None = None) -> sparse.csr_array:
    """Return decayed counts of purchases, Σ decay^(orders since): (customers, items).

    With `last`, only so many orders of each customer count, the latest.
    """
    customer = baskets.customer_of_order[baskets.order_of_line]
    ago = baskets.customer_start[1:][customer] - 1 - baskets.order_of_line
    counted = slice(None) if last is None else ago < last
    places = (customer[counted], baskets.item[counted])
    counts = sparse.coo_array((decay ** ago[counted], places), shape=(baskets.customers, baskets.items))
    return sparse.csr_array(counts)  # duplicates are added


def customer_vectors(baskets: Baskets, item_vectors: Floats, decay: float) -> Floats:
    """Return customer vectors, (customers, d): weighted sums of bought items' vectors, at length 1; 0: no orders."""
    counts = recency(baskets, decay)
    counts.data = np.log1p(counts.data)
    sums = counts @ item_vectors.astype(np.float64)
    return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def starts_of(sizes: npt.NDArray[Any]) -> Ints:
    """Return where each group starts, and the end of the last, (groups + 1,), from the groups' sizes."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _ranges(start: Ints, chosen: Ints) -> Ints:
    """Return the numbers from start[c] to start[c + 1] for each chosen c, one after another."""
    sizes = start[chosen + 1] - start[chosen]
    offsets = np.repeat(start[chosen] - starts_of(sizes)[:-1], sizes)
    return np.asarray(np.arange(int(sizes.sum())) + offsets)
