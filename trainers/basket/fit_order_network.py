"""Fits the basket model's networks: an order encoder, CNN or attention; a GRU over the last orders; a memory.

`fit` starts a network from the products' vectors of autoencoder.py and learns each customer's next order from the
orders before it, all orders of a customer in one pass. The network itself is in `aisle.embedder.order_network`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator  # type: ignore[import-untyped]
from accelerate.utils import send_to_device  # type: ignore[import-untyped]
from scipy import sparse
from torch import Tensor, nn

from aisle.db import errors
from aisle.embedder.order_network import OrderNetwork, Padded, Shape, StateModel, network_states, pad
from aisle.embedder.orders import Baskets, Floats, Ints, Targets
from aisle.trainers.basket.autoencoder import ProductVectors, co_purchase, product_vectors
from aisle.trainers.basket.options import LOSSES, NetworkOptions
from aisle.trainers.neural import (
    EarlyStopping,
    Progress,
    part_of_process,
    plain_accelerator,
    sample_candidates,
    set_rate,
    total_over_items,
)

MODELS = {"cnn-gru": "cnn", "attention-gru": "attention"}  # → the order encoder
CHUNK = 512  # targets whose logits are computed at once
FULL = 50_000  # items; beyond that a step's loss has a sample
SAMPLED = 8192  # sampled items of a step that are not targets
HALF_PRECISION = 2_000_000  # logits of a step; beyond that they are bfloat16
WARM_UP = 0.1  # share of the steps in which the learning rate rises; then it falls to 0
LARGEST_GRADIENT = 1.0  # norm that gradients are clipped to
POOL = 32  # batches filled together, by length
SMALLEST_BATCH = 4  # customers
STEPS = 20  # an epoch, at least, if there are enough customers


@dataclass(frozen=True)
class NetworkStart:
    """A trained network for a warm start."""

    model: StateModel
    rows: Ints  # (items,), each product's row in that network's tables; -1: unknown


def fit(
    baskets: Baskets,
    validation: Targets | None,
    options: NetworkOptions,
    *,
    seed: int,
    progress: Progress = lambda epoch, loss, metric: None,
    vectors: ProductVectors | None = None,
    start: NetworkStart | None = None,
) -> StateModel:
    """Fit on all orders of `baskets`; same seed and machine, same model.

    `validation` are held-out next orders of customers whose earlier orders are in `baskets`: they stop the training. To
    fit on everything afterwards, pass none, and `stop_after` = the best epoch found. `vectors` are the network's
    initial vectors, by default those of `product_vectors`. With `start` it starts from another network of its shape.
    """
    _check(baskets, options)
    if vectors is None and options.product_epochs:
        vectors = product_vectors(baskets, options, seed=seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _fit(baskets, validation, options, seed, progress, vectors, start)


def recall(products: Floats, states: Floats, targets: Targets, k: int) -> float:
    """Return the mean share of a target's products among the k best, of states (targets, d) and products (items, d)."""
    found: list[float] = []
    for start in range(0, len(targets), CHUNK):
        logits = torch.from_numpy(states[start : start + CHUNK] @ products.T)  # (targets, items)
        best = logits.topk(min(k, len(products))).indices.numpy()
        found += [float(np.isin(targets.basket(start + line), row).mean()) for line, row in enumerate(best)]
    return float(np.mean(found))


class _Batch(NamedTuple):
    """Some customers' orders; each but the first is a target."""

    orders: Padded  # all but each customer's last
    position: Tensor  # (positions,), the state that predicts it: row × (steps + 1) + earlier orders
    target: Tensor  # (lines,), the products of the positions' orders: their columns in the loss
    line: Tensor  # (lines,), the position of each
    size: Tensor  # (positions,), products of each
    candidates: Tensor | None  # products that are columns of the loss; None: all
    correction: Tensor | None  # (candidates,), the log of how many products each stands for


class _Loss(nn.Module):
    """`forward` is the loss of a batch, a mean over orders."""

    def __init__(self, network: OrderNetwork, options: NetworkOptions) -> None:
        super().__init__()
        self.network, self.options = network, options

    def forward(self, batch: _Batch) -> Tensor:
        states = self.network(batch.orders).flatten(0, 1)[batch.position]
        states = F.pad(states, (0, 1), value=1.0)  # (positions, d)
        rows = self.network.products()
        if batch.candidates is not None:
            rows = rows[batch.candidates]
        softmax = self.options.loss == "softmax"
        total = total_over_items(  # (positions,)
            states, rows, batch.correction, softmax=softmax, most_logits=HALF_PRECISION
        )
        logits = (states[batch.line] * rows[batch.target]).sum(1)  # (lines,), of the targets
        if softmax:
            correct = -logits / batch.size[batch.line]
        else:
            correct = self.options.pos_weight * F.softplus(-logits) - F.softplus(logits)
        return total.index_add(0, batch.line, correct).mean()


def _fit(
    baskets: Baskets,
    validation: Targets | None,
    options: NetworkOptions,
    seed: int,
    progress: Progress,
    vectors: ProductVectors | None,
    start: NetworkStart | None,
) -> StateModel:
    network = _network(baskets, options, vectors)
    if start is not None:
        _copy_start(start, network, baskets)
    accelerator = plain_accelerator()
    fused = accelerator.num_processes == 1
    optimiser = torch.optim.Adam(network.parameters(), lr=options.learning_rate, betas=(0.9, 0.99), fused=fused)
    model, optimiser = accelerator.prepare(_Loss(network, options), optimiser)
    batches = _Batches(baskets, options)
    steps, step = options.epochs * len(batches), 0
    stopping = EarlyStopping[StateModel](options.patience)
    for epoch in range(1, (options.stop_after or options.epochs) + 1):
        model.train()
        total = 0.0
        for batch in batches.epoch(seed, epoch, accelerator):
            rise, fall = (step + 1) / (WARM_UP * steps), (1 - step / steps) / (1 - WARM_UP)
            set_rate(optimiser, options.learning_rate * min(rise, fall))
            loss = model(send_to_device(batch, accelerator.device))
            optimiser.zero_grad()
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
            optimiser.step()
            total, step = total + loss.item(), step + 1
        metric = None
        if validation is not None and len(validation):
            states = network_states(network, baskets, validation.customer)
            metric = recall(network.products().numpy(force=True), states, validation, options.evaluate_at)
            stopping.saw(metric, partial(StateModel.of, network, epoch, stopping.history))
        progress(epoch, total / len(batches), metric)
        if stopping.is_over:
            break
    best = stopping.best or StateModel.of(network, epoch, stopping.history)
    return replace(best, validation=stopping.history)


def shape_of(options: NetworkOptions, items: int) -> Shape:
    """Return the shape of a network with these options, for this number of products."""
    return Shape(
        items=items,
        encoder=MODELS[options.model],
        dimensions=options.dimensions,
        hidden=options.hidden,
        n_orders=options.n_orders,
        kernel=options.kernel,
        heads=options.heads,
        layers=options.layers,
        memory=options.memory,
        exponent=options.exponent,
    )


@torch.no_grad()
def _copy_start(start: NetworkStart, network: OrderNetwork, baskets: Baskets) -> None:
    """Copy the start's weights; a new product gets the mean of its co-purchased products' vectors.

    Without known ones, its vectors stay as they are, as do new products' biases.
    """
    known, new = np.flatnonzero(start.rows >= 0), np.flatnonzero(start.rows < 0)
    shares = co_purchase(baskets)[new][:, known] if len(new) else sparse.csr_array((0, len(known)))
    total = np.asarray(shares.sum(1))  # (new products,)
    near, shares, total = new[total > 0], shares[total > 0], total[total > 0]
    for name, own in network.state_dict().items():
        given = start.model.weights[name]
        if name not in ("vectors.weight", "memory.weight", "rows", "bias"):
            own.copy_(torch.from_numpy(given))
            continue
        own[known] = torch.from_numpy(given[start.rows[known]])
        if name != "bias":
            own[near] = torch.from_numpy(((shares @ given[start.rows[known]]) / total[:, None]).astype(np.float32))


def _network(baskets: Baskets, options: NetworkOptions, vectors: ProductVectors | None) -> OrderNetwork:
    """Return a network with the products' vectors, and biases from the products' frequencies."""
    network = OrderNetwork(
        shape_of(options, baskets.items), dropout=options.dropout, memory_dropout=options.memory_dropout
    )
    count = np.bincount(baskets.item, minlength=baskets.items) + 0.5
    if options.loss == "softmax":
        bias = np.log(count / count.sum())
    else:
        often = count / (len(baskets) + 1)
        bias = np.log(options.pos_weight * often / (1 - often))
    with torch.no_grad():
        network.bias.copy_(torch.from_numpy(bias))
        if vectors is not None:
            for table, given in ((network.vectors.weight[:-1], vectors.codes), (network.rows, vectors.rows)):
                length = np.linalg.norm(given, axis=1).mean()
                table.copy_(torch.from_numpy(given / max(float(length), 1e-9)))
        if options.memory:
            network.memory.weight[:-1] = network.rows  # so a bought product raises its own logit
    return network


class _Batches:
    """Cuts the customers into steps, each of customers with a similar number of orders."""

    def __init__(self, baskets: Baskets, options: NetworkOptions) -> None:
        self.baskets, self.options = baskets, options
        self.customers = np.flatnonzero(baskets.orders_of)
        # Even with few customers, an epoch has several steps.
        self.size = min(options.batch_size, max(SMALLEST_BATCH, len(self.customers) // STEPS))
        self.sampled = options.negatives or (SAMPLED if baskets.items > FULL else None)

    def __len__(self) -> int:
        return -(-len(self.customers) // self.size)

    def epoch(self, seed: int, epoch: int, accelerator: Accelerator) -> Iterator[_Batch]:
        """Yield one process's share of each step."""
        random = np.random.default_rng((seed, epoch))
        customers = random.permutation(self.customers)
        pool = np.arange(len(customers)) // (self.size * POOL)
        customers = customers[np.lexsort((self.baskets.orders_of[customers], pool))]
        for step in random.permutation(len(self)):
            chosen = customers[step * self.size : (step + 1) * self.size]
            yield self._batch(part_of_process(chosen, accelerator), random)

    def _batch(self, customers: Ints, random: np.random.Generator) -> _Batch:
        b, limit = self.baskets, self.options.n_orders + 1
        count = np.minimum(b.orders_of[customers], limit)
        # If a customer has more orders than are read, take consecutive ones at random.
        first = b.customer_start[customers] + random.integers(b.orders_of[customers] - count + 1)
        orders = pad(b.order_start, b.item, first, first + count - 1, b.items)
        row = np.repeat(np.arange(len(customers)), count)  # (positions,)
        before = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        next_order = first[row] + before
        start = b.order_start[next_order]
        size = b.order_start[next_order + 1] - start
        line = np.repeat(np.arange(len(row)), size)  # (lines,)
        target = b.item[start[line] + np.arange(len(line)) - np.repeat(np.cumsum(size) - size, size)]
        candidates, correction, target = self._candidates(target, random)
        return _Batch(
            orders,
            torch.from_numpy(row * (orders.steps + 1) + before),
            torch.from_numpy(target),
            torch.from_numpy(line),
            torch.from_numpy(size.astype(np.float32)),
            candidates,
            correction,
        )

    def _candidates(self, target: Ints, random: np.random.Generator) -> tuple[Tensor | None, Tensor | None, Ints]:
        """Return the products of a step's loss, the log of how many each stands for, and the targets' columns."""
        items = self.baskets.items
        if self.sampled is None or self.sampled >= items:
            return None, None, target
        candidates, correction = sample_candidates(target, items, self.sampled, random)
        column = np.unique(target, return_inverse=True)[1]
        return torch.from_numpy(candidates), torch.from_numpy(correction), column


def _check(baskets: Baskets, options: NetworkOptions) -> None:
    if options.model not in MODELS:
        raise errors.InvalidArgumentError(f"There is no model {options.model!r}, only {' and '.join(MODELS)}.")
    if options.loss not in LOSSES:
        raise errors.InvalidArgumentError(f"There is no loss {options.loss!r}, only {' and '.join(LOSSES)}.")
    if options.hidden % options.heads and options.model == "attention-gru":
        raise errors.InvalidArgumentError(f"{options.heads} heads do not divide {options.hidden} hidden units.")
    if not len(baskets):
        raise errors.TrainingDataError("There are no orders to learn from.")
