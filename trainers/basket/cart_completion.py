"""Learns cart completion: two vectors for each product, one to add to a cart's and one to compare with carts.

    logit(cart, i) = ⟨Σ_{j in cart} cart_j / √|cart|, completion_i⟩ + bias_i

Each epoch hides one product of each order, to predict from the others. The loss is the soft-max over all products or,
if there are many, over a sample drawn by popularity and weighted by the inverse of its chance (Bengio and Senécal,
Adaptive importance sampling, IEEE TNN 2008, §3).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import nn

from aisle.embedder.orders import Baskets, Floats, Ints
from aisle.trainers import ranking
from aisle.trainers.basket.score import COSINE_FLOOR

DIMENSIONS = 64
SAMPLED = 2048  # products drawn for a step's soft-max
SMOOTHING = 0.75  # exponent of the popularity in drawing them
LONGEST = 40  # products of an order that a step reads
MOST_STEPS = 4000  # of training, even with many orders
MOST_CO_PURCHASED = 100  # of a product
WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)  # of the co-purchase cosines, to try
CHUNK = 250  # rows
HIDDEN = 0.2  # share of the cart's products that are left out beside the target

Progress = Callable[[int, float, float | None], None]  # epoch, loss, None


@dataclass(frozen=True)
class Options:
    """Hyper-parameters."""

    epochs: int = 12  # over which the learning rate falls to 0
    batch_size: int = 512  # orders
    learning_rate: float = 0.01


@dataclass(frozen=True)
class Completion:
    """The fitted vectors."""

    cart: Floats  # (items, DIMENSIONS)
    completion: Floats  # (items, DIMENSIONS + 1), the last component a bias

    def scores(self, carts: list[Ints]) -> Floats:
        """Return the logits of carts, (carts, items)."""
        sums = np.stack([self.cart[cart].sum(axis=0) / np.sqrt(max(len(cart), 1)) for cart in carts])
        return np.asarray(sums @ self.completion[:, :-1].T + self.completion[:, -1])


def fit(
    baskets: Baskets,
    options: Options,
    *,
    seed: int,
    progress: Progress = lambda epoch, loss, metric: None,
) -> Completion:
    """Fit on all orders of two products or more; same seed and machine, same vectors."""
    random = np.random.default_rng(seed)
    sizes = np.diff(baskets.order_start)
    orders = np.flatnonzero(sizes >= 2)
    count = np.bincount(baskets.item, minlength=baskets.items) + 0.5
    log_share = torch.from_numpy(np.log(count / count.sum())).float()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        cart = nn.EmbeddingBag(baskets.items + 1, DIMENSIONS, mode="sum", padding_idx=baskets.items, sparse=True)
        completion = nn.Embedding(baskets.items, DIMENSIONS, sparse=True)
        for table in (cart, completion):
            nn.init.normal_(table.weight, std=0.1)
    with torch.no_grad():
        cart.weight[baskets.items] = 0
    bias = nn.Parameter(log_share.clone())
    slow = torch.optim.Adam([bias], lr=options.learning_rate / 4)
    fast = torch.optim.SparseAdam([cart.weight, completion.weight], lr=options.learning_rate)

    drawn = count**SMOOTHING / (count**SMOOTHING).sum()
    up_to = np.cumsum(drawn)
    step, steps_an_epoch = 0, max(1, -(-len(orders) // options.batch_size))
    epochs = max(1, min(options.epochs, -(-MOST_STEPS // steps_an_epoch)))
    for epoch in range(1, epochs + 1):
        total = 0.0
        shuffled = random.permutation(orders)
        for start in range(0, len(shuffled), options.batch_size):
            lines, offsets, target = _hide(baskets, shuffled[start : start + options.batch_size], random)
            if baskets.items <= SAMPLED:
                candidates, correction = np.arange(baskets.items), np.zeros(baskets.items)
            else:
                candidates = np.unique(np.searchsorted(up_to, random.random(SAMPLED)).clip(max=baskets.items - 1))
                # The chance to be drawn; a drawn product stands for 1 / chance products.
                correction = -np.log(-np.expm1(SAMPLED * np.log1p(-drawn[candidates])))
            left = np.add.reduceat(lines < baskets.items, offsets)
            sums = cart(torch.from_numpy(lines), torch.from_numpy(offsets))  # (orders, DIMENSIONS)
            query = sums / torch.from_numpy(np.sqrt(np.maximum(left, 1))).float()[:, None]
            wanted, others = torch.from_numpy(target), torch.from_numpy(candidates)
            positive = (query * completion(wanted)).sum(1) + bias[wanted]
            logits = query @ completion(others).T + bias[others] + torch.from_numpy(correction).float()
            logits = logits.masked_fill(others[None] == wanted[:, None], -torch.inf)
            loss = (torch.logsumexp(torch.cat([positive[:, None], logits], dim=1), dim=1) - positive).mean()
            for optimiser, rate in ((fast, options.learning_rate), (slow, options.learning_rate / 4)):
                for group in optimiser.param_groups:
                    group["lr"] = rate * (1 - step / (epochs * steps_an_epoch))
                optimiser.zero_grad()
            loss.backward()
            fast.step()  # type: ignore[no-untyped-call]
            slow.step()
            total, step = total + loss.item(), step + 1
        progress(epoch, total / steps_an_epoch, None)
    rows = torch.cat([completion.weight, bias[:, None]], dim=1)
    return Completion(cart.weight[:-1].numpy(force=True), rows.numpy(force=True))


def co_purchased(baskets: Baskets) -> sparse.csr_array:
    """Return the cosines of items' columns of orders, of each item the MOST_CO_PURCHASED largest: (items, items)."""
    ones = np.ones(len(baskets.item), dtype=np.float32)
    orders = sparse.csr_array((ones, baskets.item, baskets.order_start), shape=(len(baskets), baskets.items))
    length = np.sqrt(np.maximum(np.bincount(baskets.item, minlength=baskets.items), 1))
    by_item = sparse.csr_array(orders.T)
    parts = []
    for start in range(0, baskets.items, CHUNK):
        together = sparse.csr_array(by_item[start : start + CHUNK] @ orders)  # (chunk, items)
        rows = np.repeat(np.arange(together.shape[0]), np.diff(together.indptr))
        cosine = together.data / (length[start + rows] * length[together.indices])
        order = np.lexsort((together.indices, -cosine, rows))
        rows, columns, cosine = rows[order], together.indices[order], cosine[order]
        other = columns != start + rows
        rows, columns, cosine = rows[other], columns[other], cosine[other]
        place = np.arange(len(rows)) - np.searchsorted(rows, rows)
        best = place < MOST_CO_PURCHASED
        shape = (together.shape[0], baskets.items)
        parts.append(sparse.csr_array((cosine[best], (rows[best], columns[best])), shape=shape))
    return sparse.csr_array(sparse.vstack(parts, format="csr"))


def cosine_weight(learned: Completion, cosines: sparse.csr_array, carts: list[Ints], hidden: Ints, k: int) -> float:
    """Return the weight of the log of the summed cosines, beside the logit, that finds most hidden items."""
    found = dict.fromkeys(WEIGHTS, 0)
    for start in range(0, len(carts), CHUNK):
        batch = carts[start : start + CHUNK]
        logits = learned.scores(batch)
        rows = np.repeat(np.arange(len(batch)), [len(cart) for cart in batch])
        items = np.concatenate(batch)
        ones = sparse.csr_array((np.ones(len(items)), (rows, items)), shape=logits.shape)
        near = np.log(np.asarray((ones @ cosines).toarray()) + COSINE_FLOOR)
        for weight in WEIGHTS:
            scores = logits + weight * near
            scores[rows, items] = -np.inf
            found[weight] += int((ranking.top(scores, k) == hidden[start : start + CHUNK, None]).sum())
    return max(WEIGHTS, key=lambda weight: found[weight])


def _hide(baskets: Baskets, orders: Ints, random: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """Return the orders' products one after another, each order's start, and each order's hidden product.

    Hidden products get a number that no product has.
    """
    size = np.diff(baskets.order_start)[orders]
    length = np.minimum(size, LONGEST)
    offsets = np.cumsum(length) - length
    # Of a long order, consecutive products.
    first = baskets.order_start[orders] + random.integers(size - length + 1)
    lines = baskets.item[np.repeat(first - offsets, length) + np.arange(int(length.sum()))]
    hidden = offsets + random.integers(length)
    target = lines[hidden]
    lines[random.random(len(lines)) < HIDDEN] = baskets.items
    lines[hidden] = baskets.items
    return lines, offsets, target
