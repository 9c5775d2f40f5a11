"""The neural models of the next basket: order encoders, CNN or attention; a GRU over the last orders; a memory.

`product_vectors` makes a vector of each product by an autoencoder over co-purchase: in, what share of its orders' other
products each product is; through a code of `dimensions` numbers, which is the vector; out, the same shares again.
`fit` starts a network from them and learns each customer's next order from the orders before it, all orders of a
customer in one pass. The network itself, and what it means, is in `aisle.embedder.order_network`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator  # type: ignore[import-untyped]
from accelerate.utils import AutocastKwargs, send_to_device  # type: ignore[import-untyped]
from scipy import sparse
from torch import Tensor, nn

from aisle.db import errors
from aisle.embedder.order_network import SPREAD, OrderNetwork, Padded, Shape, StateModel, network_states, pad
from aisle.embedder.orders import Baskets, Floats, Ints, Targets

MODELS = {"cnn-gru": "cnn", "attention-gru": "attention"}  # → the order encoder
LOSSES = ("softmax", "bce")
CHUNK = 512  # targets whose logits are computed at once
FULL = 50_000  # items; beyond that only some are in a step's loss
SAMPLED = 8192  # items of such a step that are not targets
HALF_PRECISION = 2_000_000  # logits of a step; beyond that they are bfloat16
WARM_UP = 0.1  # share of the steps over which the learning rate rises; afterwards it falls to 0
LARGEST_GRADIENT = 1.0  # its norm is cut to that
POOL = 32  # batches that are filled together, by length
SMALLEST_BATCH = 4  # customers
STEPS = 20  # an epoch, at least, where there are customers enough
PAIRS = 100_000_000  # of products in one order, at most, that the autoencoder counts: the newest orders'
PRODUCTS = 256  # of a step of the autoencoder
PRODUCT_RATE = 0.01  # learning rate of the autoencoder
PRODUCT_DROPOUT = 0.5  # share of a product's companions that the autoencoder is not shown

Progress = Callable[[int, float, float | None], None]  # epoch, loss, validation metric


@dataclass(frozen=True)
class Options:
    """Hyper-parameters of the networks."""

    # What is learned.
    model: str = "cnn-gru"  # or 'attention-gru'
    dimensions: int = 64  # of a product's vector, and of a state without its last component
    n_orders: int = 50  # a customer's last orders, which are read
    hidden: int = 128  # units of the order encoder and of the GRU
    kernel: int = 3  # products that the convolution sees at once
    heads: int = 4  # of attention
    layers: int = 1  # of attention
    memory: bool = True  # the state remembers the products that were bought; False: it is the GRU's alone
    exponent: float = 0.5  # of the number of products remembered, by which their sum is divided
    # What is asked.
    # 'softmax': over all products, an order's products are equal shares of 1; ranks better than a yes or no a product,
    # which is 'bce'. Only with 'bce' is the logit minus log(pos_weight) that of a probability.
    loss: str = "softmax"
    pos_weight: float = 1.0  # of a yes ('bce')
    # How it is learned.
    product_epochs: int = 10  # of the autoencoder; 0: vectors start at random
    epochs: int = 4  # over which the learning rate rises and falls to 0
    stop_after: int | None = None  # epochs; what validation found best, for the last fit on everything
    batch_size: int = 64  # customers
    learning_rate: float = 0.003
    dropout: float = 0.3  # of products' vectors, orders' encodings and the GRU's outputs
    memory_dropout: float = 0.5  # share of the remembered products
    negatives: int | None = None  # products in a step's loss beside targets; None: all, where there are at most FULL
    # When it stops.
    patience: int = 2  # epochs without a better one
    evaluate_at: int = 10  # k of recall@k


@dataclass(frozen=True)
class ProductVectors:
    """What the autoencoder learns of the products."""

    codes: Floats  # (items, dimensions), the products' vectors
    rows: Floats  # (items, dimensions), the decoder's: ⟨code_i, row_j⟩ says how well j goes with i


@dataclass(frozen=True)
class NetworkStart:
    """A trained network to begin with."""

    model: StateModel
    rows: Ints  # (items,), the row of each product of this run in that network's tables; -1: it does not know it


def fit(
    baskets: Baskets,
    validation: Targets | None,
    options: Options,
    *,
    seed: int,
    progress: Progress = lambda epoch, loss, metric: None,
    vectors: ProductVectors | None = None,
    start: NetworkStart | None = None,
) -> StateModel:
    """Fit on all orders of `baskets`; same seed and machine, same model.

    `validation` are held-out next orders of customers whose earlier orders are in `baskets`: they stop the training. To
    fit on everything afterwards, pass none, and `stop_after` = the best epoch found. `vectors` are what the network
    starts from; where none are given, `product_vectors` makes them. With `start` it starts from another network of its
    shape.
    """
    _check(baskets, options)
    if vectors is None and options.product_epochs:
        vectors = product_vectors(baskets, options, seed=seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _fit(baskets, validation, options, seed, progress, vectors, start)


def product_vectors(
    baskets: Baskets,
    options: Options,
    *,
    seed: int,
    texts: Floats | None = None,
    progress: Progress = lambda epoch, loss, metric: None,
) -> ProductVectors:
    """Learn products' vectors by an autoencoder over co-purchase, started from `texts`, (items, any), where given.

    A product that was never bought with another one keeps the vector that it started from.
    """
    _check(baskets, options)
    shares = _co_purchase(baskets)
    bought = np.flatnonzero(np.diff(shares.indptr))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        plain = _Autoencoder(shares, _start(texts, baskets.items, options.dimensions))
        optimiser = torch.optim.Adam(plain.parameters(), lr=PRODUCT_RATE)
        accelerator = _accelerator()
        model, optimiser = accelerator.prepare(plain, optimiser)
        step, steps = 0, options.product_epochs * -(-len(bought) // PRODUCTS)
        for epoch in range(1, options.product_epochs + 1):
            total, random = 0.0, np.random.default_rng((seed, epoch))
            order = random.permutation(bought)
            for start in range(0, len(order), PRODUCTS):
                _set_rate(optimiser, PRODUCT_RATE * (1 - step / steps))
                batch = _companions(shares, _part(order[start : start + PRODUCTS], accelerator))
                loss = model(*send_to_device(batch, accelerator.device))
                optimiser.zero_grad()
                accelerator.backward(loss)
                optimiser.step()
                total, step = total + loss.item(), step + 1
            progress(epoch, total * options.product_epochs / max(1, steps), None)
    return plain.vectors(shares)


def recall(products: Floats, states: Floats, targets: Targets, k: int) -> float:
    """Return the mean share of a target's products among the k best, of states (targets, d) and products (items, d)."""
    found: list[float] = []
    for start in range(0, len(targets), CHUNK):
        logits = torch.from_numpy(states[start : start + CHUNK] @ products.T)  # (targets, items)
        best = logits.topk(min(k, len(products))).indices.numpy()
        found += [float(np.isin(targets.basket(start + line), row).mean()) for line, row in enumerate(best)]
    return float(np.mean(found))


class _Dense(torch.autograd.Function):
    """Σ over all items, (positions,): log Σ exp(z) of the soft-max, or Σ log(1 + exp(z)) of BCE; z = states · rows.

    `correction` is the log of how many items each row stands for. Only what the gradient needs is kept, in half
    precision where it is large.
    """

    @staticmethod
    def forward(context: Any, states: Tensor, rows: Tensor, correction: Tensor | None, softmax: bool) -> Tensor:
        kind = torch.bfloat16 if len(states) * len(rows) > HALF_PRECISION else torch.float32
        states, rows = states.to(kind), rows.to(kind)
        logits = states @ rows.T  # (positions, items)
        if softmax:
            if correction is not None:
                logits += correction
            share = torch.softmax(logits, dim=1)
            # Any item will do, since logit - log share is the same for all; the best of some has no share of 0.
            total = logits[:, :256].amax(1).float() - share[:, :256].amax(1).float().log()
        else:
            total, share = F.softplus(logits), torch.sigmoid(logits)
            if correction is not None:
                total, share = total * correction.exp(), (share * correction.exp()).to(kind)
            total = total.sum(1, dtype=torch.float32)
        context.save_for_backward(share, states, rows)
        return total

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        share, states, rows = context.saved_tensors
        gradient = gradients[0][:, None]
        return (share @ rows).float() * gradient, (share.T @ (states * gradient.to(share.dtype))).float(), None, None


def _dense(states: Tensor, rows: Tensor, correction: Tensor | None = None, *, softmax: bool) -> Tensor:
    total: Tensor = _Dense.apply(states, rows, correction, softmax)  # type: ignore[no-untyped-call]
    return total


# The autoencoder.


class _Companions(NamedTuple):
    """Some products and what they are bought with, as bags."""

    product: Tensor  # (products,)
    companion: Tensor  # (pairs,)
    start: Tensor  # (products,), where each one's pairs start
    share: Tensor  # (pairs,), those of a product add up to 1


class _Autoencoder(nn.Module):
    """Shares of companions → code → shares of companions; `forward` is the loss, the cross-entropy of the shares."""

    def __init__(self, shares: sparse.csr_array, start: Tensor) -> None:
        super().__init__()
        total = np.asarray(shares.sum(0)) + 0.01  # (items,)
        self.enter = nn.Parameter(start.clone())  # (items, dimensions)
        self.rows = nn.Parameter(start.clone())
        self.bias = nn.Parameter(torch.from_numpy(np.log(total / total.sum())).float())

    def encode(self, product: Tensor, companion: Tensor, start: Tensor, share: Tensor) -> Tensor:
        """Return codes, (products, dimensions): the product's own entry and the mean of its companions'."""
        bags = F.embedding_bag(companion, self.enter, start, mode="sum", per_sample_weights=share)
        return self.enter[product] + bags

    def forward(self, product: Tensor, companion: Tensor, start: Tensor, share: Tensor) -> Tensor:
        code = F.pad(self.encode(product, companion, start, F.dropout(share, PRODUCT_DROPOUT)), (0, 1), value=1.0)
        rows = torch.cat([self.rows, self.bias[:, None]], dim=1)
        mean = F.embedding_bag(companion, rows, start, mode="sum", per_sample_weights=share)
        return (_dense(code, rows, softmax=True) - (code * mean).sum(1)).mean()

    @torch.no_grad()
    def vectors(self, shares: sparse.csr_array) -> ProductVectors:
        """Return the codes of all products, and the decoder's rows."""
        batch = send_to_device(_companions(shares, np.arange(shares.shape[0])), self.enter.device)
        return ProductVectors(self.encode(*batch).numpy(force=True).copy(), self.rows.numpy(force=True).copy())


def _co_purchase(baskets: Baskets) -> sparse.csr_array:
    """Return what share of each product's companions each other product is, (items, items).

    An order of n products is n - 1 companions for each of them, and counts 1 for each.
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


def _companions(shares: sparse.csr_array, products: Ints) -> _Companions:
    part = shares[products]
    start, companion = part.indptr[:-1].astype(np.int64), part.indices.astype(np.int64)
    return _Companions(*map(torch.from_numpy, (products, companion, start, part.data)))


def _start(texts: Floats | None, items: int, dimensions: int) -> Tensor:
    """Return vectors to start from, (items, dimensions): random, or the main directions of the texts' vectors."""
    start = torch.randn(items, dimensions) * SPREAD
    if texts is not None:
        given = np.flatnonzero(texts.any(axis=1))
        _, _, directions = np.linalg.svd(texts[given] - texts[given].mean(0), full_matrices=False)
        main = (texts[given] - texts[given].mean(0)) @ directions[:dimensions].T
        start[given, : main.shape[1]] = torch.from_numpy(main / max(float(main.std()), 1e-9) * SPREAD).float()
    return start


# The network.


class _Batch(NamedTuple):
    """Some customers' orders, each after the first one or before it a target."""

    orders: Padded  # all but each customer's last
    position: Tensor  # (positions,), which of the states foresees it: row × (steps + 1) + orders before
    target: Tensor  # (lines,), the products of the positions' orders: their columns in the loss
    line: Tensor  # (lines,), the position of each
    size: Tensor  # (positions,), products of each
    candidates: Tensor | None  # products that are columns of the loss; None: all
    correction: Tensor | None  # (candidates,), the log of how many products each stands for


class _Loss(nn.Module):
    """`forward` is the loss of a batch, a mean over orders."""

    def __init__(self, network: OrderNetwork, options: Options) -> None:
        super().__init__()
        self.network, self.options = network, options

    def forward(self, batch: _Batch) -> Tensor:
        states = self.network(batch.orders).flatten(0, 1)[batch.position]
        states = F.pad(states, (0, 1), value=1.0)  # (positions, d)
        rows = self.network.products()
        if batch.candidates is not None:
            rows = rows[batch.candidates]
        softmax = self.options.loss == "softmax"
        total = _dense(states, rows, batch.correction, softmax=softmax)  # (positions,)
        logits = (states[batch.line] * rows[batch.target]).sum(1)  # (lines,), of the targets
        if softmax:
            correct = -logits / batch.size[batch.line]
        else:
            correct = self.options.pos_weight * F.softplus(-logits) - F.softplus(logits)
        return total.index_add(0, batch.line, correct).mean()


def _fit(
    baskets: Baskets,
    validation: Targets | None,
    options: Options,
    seed: int,
    progress: Progress,
    vectors: ProductVectors | None,
    start: NetworkStart | None,
) -> StateModel:
    network = _network(baskets, options, vectors)
    if start is not None:
        _begin_with(start, network, baskets)
    accelerator = _accelerator()
    fused = accelerator.num_processes == 1
    optimiser = torch.optim.Adam(network.parameters(), lr=options.learning_rate, betas=(0.9, 0.99), fused=fused)
    model, optimiser = accelerator.prepare(_Loss(network, options), optimiser)
    batches = _Batches(baskets, options)
    steps, step = options.epochs * len(batches), 0
    best: StateModel | None = None
    history: list[float] = []
    for epoch in range(1, (options.stop_after or options.epochs) + 1):
        model.train()
        total = 0.0
        for batch in batches.epoch(seed, epoch, accelerator):
            rise, fall = (step + 1) / (WARM_UP * steps), (1 - step / steps) / (1 - WARM_UP)
            _set_rate(optimiser, options.learning_rate * min(rise, fall))
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
            history.append(metric)
            if metric >= max(history):
                best = StateModel.of(network, epoch, history)
        progress(epoch, total / len(batches), metric)
        if history and len(history) - int(np.argmax(history)) > options.patience:
            break
    if best is None:
        return StateModel.of(network, epoch, history)
    return replace(best, validation=history)


def shape_of(options: Options, items: int) -> Shape:
    """Return what a network with these options, for so many products, is made of."""
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
def _begin_with(start: NetworkStart, network: OrderNetwork, baskets: Baskets) -> None:
    """Copy what the start has learned; a product that it does not know is the mean of what it is bought with.

    One that is bought with nothing that it knows stays as it is, as do new products' biases.
    """
    known, new = np.flatnonzero(start.rows >= 0), np.flatnonzero(start.rows < 0)
    shares = _co_purchase(baskets)[new][:, known] if len(new) else sparse.csr_array((0, len(known)))
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


def _network(baskets: Baskets, options: Options, vectors: ProductVectors | None) -> OrderNetwork:
    """Return a network that has learned nothing yet but the products' vectors and how often each is bought."""
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
            network.memory.weight[:-1] = network.rows  # so a product that was bought speaks for itself
    return network


class _Batches:
    """Cuts the customers into steps of customers with about as many orders."""

    def __init__(self, baskets: Baskets, options: Options) -> None:
        self.baskets, self.options = baskets, options
        self.customers = np.flatnonzero(baskets.orders_of)
        # However few the customers are, an epoch is to be some steps.
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
            yield self._batch(_part(chosen, accelerator), random)

    def _batch(self, customers: Ints, random: np.random.Generator) -> _Batch:
        b, limit = self.baskets, self.options.n_orders + 1
        count = np.minimum(b.orders_of[customers], limit)
        # Of more orders than are read, any that follow one another.
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
        """Return the products of a step's loss, the log of how many each stands for, and the targets' columns.

        All of the batch's targets stand for themselves, some others for all others: the sum is unbiased (the log-Q
        correction of sampled soft-max; Bengio and Senécal, 2008).
        """
        items = self.baskets.items
        if self.sampled is None or self.sampled >= items:
            return None, None, target
        targets, column = np.unique(target, return_inverse=True)
        others = np.setdiff1d(random.choice(items, self.sampled, replace=False), targets)
        correction = np.zeros(len(targets) + len(others), dtype=np.float32)
        correction[len(targets) :] = np.log(max(1, items - len(targets)) / max(1, len(others)))
        return torch.from_numpy(np.concatenate([targets, others])), torch.from_numpy(correction), column


def _check(baskets: Baskets, options: Options) -> None:
    if options.model not in MODELS:
        raise errors.InvalidArgumentError(f"There is no model {options.model!r}, only {' and '.join(MODELS)}.")
    if options.loss not in LOSSES:
        raise errors.InvalidArgumentError(f"There is no loss {options.loss!r}, only {' and '.join(LOSSES)}.")
    if options.hidden % options.heads and options.model == "attention-gru":
        raise errors.InvalidArgumentError(f"{options.heads} heads do not divide {options.hidden} hidden units.")
    if not len(baskets):
        raise errors.TrainingDataError("There is no order to learn from.")


def _accelerator() -> Accelerator:
    """Return an accelerator that leaves precision alone: half of it is only worth it in _Dense.

    Whatever `accelerate launch`, or an encoder that was trained in the same process, has chosen, stands.
    """
    return Accelerator(kwargs_handlers=[AutocastKwargs(enabled=False)])


def _part(rows: Ints, accelerator: Accelerator) -> Ints:
    """Return one process's share of a step."""
    processes = accelerator.num_processes
    return rows[accelerator.process_index :: processes] if len(rows) >= processes else rows


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate
