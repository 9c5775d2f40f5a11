"""Products' vectors: an autoencoder over co-purchase.

The input is the share of each product among the products bought with one; a code of `dimensions` numbers is its vector;
the output predicts the same shares.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import send_to_device  # type: ignore[import-untyped]
from scipy import sparse
from torch import Tensor, nn

from aisle.db import errors
from aisle.embedder.order_network import SPREAD
from aisle.embedder.orders import Baskets, Floats, Ints
from aisle.trainers.basket.options import NetworkOptions
from aisle.trainers.neural import Progress, part_of_process, plain_accelerator, set_rate, total_over_items

HALF_PRECISION = 2_000_000  # logits of a step; beyond that they are bfloat16
PAIRS = 100_000_000  # of products in one order, at most; those of the newest orders count
PRODUCTS = 256  # of a step
PRODUCT_RATE = 0.01  # learning rate
PRODUCT_DROPOUT = 0.5  # share of a product's co-purchased products that is dropped from the input


@dataclass(frozen=True)
class ProductVectors:
    """The vectors that the autoencoder learns."""

    codes: Floats  # (items, dimensions), the products' vectors
    rows: Floats  # (items, dimensions), the decoder's: ⟨code_i, row_j⟩ says how well j goes with i


def product_vectors(
    baskets: Baskets,
    options: NetworkOptions,
    *,
    seed: int,
    texts: Floats | None = None,
    progress: Progress = lambda epoch, loss, metric: None,
) -> ProductVectors:
    """Learn products' vectors by an autoencoder over co-purchase, started from `texts`, (items, any), where given.

    A product that was never bought with another one keeps its initial vector.
    """
    if not len(baskets):
        raise errors.TrainingDataError("There are no orders to learn from.")
    shares = co_purchase(baskets)
    bought = np.flatnonzero(np.diff(shares.indptr))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        plain = _Autoencoder(shares, _start(texts, baskets.items, options.dimensions))
        optimiser = torch.optim.Adam(plain.parameters(), lr=PRODUCT_RATE)
        accelerator = plain_accelerator()
        model, optimiser = accelerator.prepare(plain, optimiser)
        step, steps = 0, options.product_epochs * -(-len(bought) // PRODUCTS)
        for epoch in range(1, options.product_epochs + 1):
            total, random = 0.0, np.random.default_rng((seed, epoch))
            order = random.permutation(bought)
            for start in range(0, len(order), PRODUCTS):
                set_rate(optimiser, PRODUCT_RATE * (1 - step / steps))
                batch = _co_purchased(shares, part_of_process(order[start : start + PRODUCTS], accelerator))
                loss = model(*send_to_device(batch, accelerator.device))
                optimiser.zero_grad()
                accelerator.backward(loss)
                optimiser.step()
                total, step = total + loss.item(), step + 1
            progress(epoch, total * options.product_epochs / max(1, steps), None)
    return plain.vectors(shares)


class _CoPurchased(NamedTuple):
    """Some products and their co-purchased products, as bags."""

    product: Tensor  # (products,)
    other: Tensor  # (pairs,)
    start: Tensor  # (products,), the start of each one's pairs
    share: Tensor  # (pairs,), the sum of a product is 1


class _Autoencoder(nn.Module):
    """Co-purchase shares → code → the same shares; `forward` is the loss, the cross-entropy of the shares."""

    def __init__(self, shares: sparse.csr_array, start: Tensor) -> None:
        super().__init__()
        total = np.asarray(shares.sum(0)) + 0.01  # (items,)
        self.enter = nn.Parameter(start.clone())  # (items, dimensions)
        self.rows = nn.Parameter(start.clone())
        self.bias = nn.Parameter(torch.from_numpy(np.log(total / total.sum())).float())

    def encode(self, product: Tensor, other: Tensor, start: Tensor, share: Tensor) -> Tensor:
        """Return codes, (products, dimensions): the product's own entry plus the mean of its co-purchased products'."""
        bags = F.embedding_bag(other, self.enter, start, mode="sum", per_sample_weights=share)
        return self.enter[product] + bags

    def forward(self, product: Tensor, other: Tensor, start: Tensor, share: Tensor) -> Tensor:
        code = F.pad(self.encode(product, other, start, F.dropout(share, PRODUCT_DROPOUT)), (0, 1), value=1.0)
        rows = torch.cat([self.rows, self.bias[:, None]], dim=1)
        mean = F.embedding_bag(other, rows, start, mode="sum", per_sample_weights=share)
        return (total_over_items(code, rows, most_logits=HALF_PRECISION) - (code * mean).sum(1)).mean()

    @torch.no_grad()
    def vectors(self, shares: sparse.csr_array) -> ProductVectors:
        """Return the codes of all products, and the decoder's rows."""
        batch = send_to_device(_co_purchased(shares, np.arange(shares.shape[0])), self.enter.device)
        return ProductVectors(self.encode(*batch).numpy(force=True).copy(), self.rows.numpy(force=True).copy())


def co_purchase(baskets: Baskets) -> sparse.csr_array:
    """Return the share of each other product among a product's co-purchased products, (items, items).

    An order of n products gives each of them n - 1 co-purchased products, which together count 1.
    """
    size = np.diff(baskets.order_start)  # (orders,)
    newest = np.argsort(-baskets.at, kind="stable")
    kept = np.zeros(len(size), dtype=bool)
    kept[newest[np.cumsum(size[newest] ** 2) <= PAIRS]] = True
    lines = np.flatnonzero(kept[baskets.order_of_line])
    order, item = baskets.order_of_line[lines], baskets.item[lines]
    shape = (len(size), baskets.items)
    bought = sparse.csr_array((np.ones(len(lines), dtype=np.float32), (order, item)), shape=shape)
    weight = sparse.diags_array(1 / np.maximum(size - 1, 1).astype(np.float32))
    together = sparse.coo_array(bought.T @ weight @ bought)
    row, column = together.coords
    others = row != column
    row, column, together = row[others], column[others], together.data[others]
    total = np.bincount(row, weights=together, minlength=baskets.items)
    return sparse.csr_array((together / total[row], (row, column)), shape=(baskets.items,) * 2, dtype=np.float32)


def _co_purchased(shares: sparse.csr_array, products: Ints) -> _CoPurchased:
    part = shares[products]
    start, other = part.indptr[:-1].astype(np.int64), part.indices.astype(np.int64)
    return _CoPurchased(*map(torch.from_numpy, (products, other, start, part.data)))


def _start(texts: Floats | None, items: int, dimensions: int) -> Tensor:
    """Return initial vectors, (items, dimensions): random, or the main directions of the texts' vectors."""
    start = torch.randn(items, dimensions) * SPREAD
    if texts is not None:
        given = np.flatnonzero(texts.any(axis=1))
        _, _, directions = np.linalg.svd(texts[given] - texts[given].mean(0), full_matrices=False)
        main = (texts[given] - texts[given].mean(0)) @ directions[:dimensions].T
        start[given, : main.shape[1]] = torch.from_numpy(main / max(float(main.std()), 1e-9) * SPREAD).float()
    return start
