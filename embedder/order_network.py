"""From a customer's orders to a state whose inner products with the products' rows are the logits of the next order.

    logit(c, i) = ⟨state_c, row_i⟩
    state_c     = (project(GRU(x_1, …, x_n)) + Σ_t recency_{n-t} Σ_{j in order t} memory_j / lines^exponent, 1)

x_t is order t, encoded from the vectors of its products by a convolution with max pooling or by attention. Only the
last `n_orders` are read. The second term, in which `lines` counts the summed products, adds what such networks are bad
at: repeating earlier purchases. A row's last component is its product's bias.

Training (`aisle.trainers.basket.fit_order_network`) and the worker run the same modules.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aisle.embedder.orders import Baskets, Floats, Ints, starts_of

BATCH = 256  # customers whose states are computed at once
SPREAD = 0.1  # standard deviation of a product's vectors at the start
LOUD = 2.0  # log of the last order's recency at the start


@dataclass(frozen=True)
class Shape:
    """The shape of a network."""

    items: int
    encoder: str  # of an order: 'cnn' or 'attention'
    dimensions: int  # of a product's vector, and of a state without its last component
    hidden: int
    n_orders: int
    kernel: int  # products that a convolution sees at once
    heads: int  # of attention
    layers: int  # of attention
    memory: bool
    exponent: float


class Padded(NamedTuple):
    """The orders of some rows. Orders of similar length form a group, which keeps padding small."""

    groups: list[Tensor]  # (orders of the group, products): products' numbers, padded with `items`
    cell: Tensor  # (orders,), group after group: row × steps + step
    length: Tensor  # (rows,), number of orders
    steps: int  # the largest length


def pad(order_start: Ints, item: Ints, first: Ints, last: Ints, padding: int) -> Padded:
    """Return orders first[r] to last[r] of each row r, in steps 0, 1, …; `padding` is no product's number."""
    length = last - first  # (rows,)
    steps = int(length.max(initial=0))
    row = np.repeat(np.arange(len(first)), length)  # (orders,)
    step = np.arange(len(row)) - np.repeat(np.cumsum(length) - length, length)
    start = order_start[first[row] + step]
    size = order_start[first[row] + step + 1] - start
    kind = np.ceil(np.log2(size))
    groups, cells = [], [np.zeros(0, dtype=np.int64)]
    for group in np.unique(kind):
        chosen = np.flatnonzero(kind == group)
        place = np.arange(size[chosen].max())  # (products,)
        line = np.minimum(start[chosen, None] + place, len(item) - 1)  # (orders, products)
        groups.append(torch.from_numpy(np.where(place < size[chosen, None], item[line], padding)))
        cells.append(row[chosen] * steps + step[chosen])
    return Padded(groups, torch.from_numpy(np.concatenate(cells)), torch.from_numpy(length), steps)


class ConvolutionEncoder(nn.Module):
    """Encodes an order by a 1-D convolution over its products' vectors and the maximum of each channel."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.kernel = shape.kernel
        # The same as nn.Conv1d, on windows as rows: half the time on orders of many lengths.
        self.convolution = nn.Linear(shape.dimensions * shape.kernel, shape.hidden)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """Encode vectors (orders, products, dimensions) as (orders, hidden)."""
        around = F.pad(x, (0, 0, (self.kernel - 1) // 2, self.kernel // 2))
        windows = around.unfold(1, self.kernel, 1).flatten(2)  # (orders, products, dimensions × kernel)
        channels = F.relu(self.convolution(windows)) * there[:, :, None]  # (orders, products, hidden)
        return channels.amax(1)  # adaptive max pooling to a length of 1


class AttentionEncoder(nn.Module):
    """Encodes an order by multi-head attention among its products, and the mean of the results."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.enter = nn.Linear(shape.dimensions, shape.hidden)
        self.attention = nn.ModuleList(
            nn.MultiheadAttention(shape.hidden, shape.heads, batch_first=True) for _ in range(shape.layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(shape.hidden) for _ in range(shape.layers))

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """Encode vectors (orders, products, dimensions) as (orders, hidden)."""
        x = self.enter(x)  # (orders, products, hidden)
        for attention, norm in zip(self.attention, self.norms, strict=True):
            x = norm(x + attention(x, x, x, key_padding_mask=~there, need_weights=False)[0])
        return (x * there[:, :, None]).sum(1) / there.sum(1, keepdim=True)


class OrderNetwork(nn.Module):
    """Order encoder, GRU and memory."""

    def __init__(self, shape: Shape, *, dropout: float = 0.0, memory_dropout: float = 0.0) -> None:
        super().__init__()
        self.shape, self.memory_dropout = shape, memory_dropout
        encoders = {"cnn": ConvolutionEncoder, "attention": AttentionEncoder}
        self.vectors = self._table()
        self.encoder = encoders[shape.encoder](shape)
        self.dropout = nn.Dropout(dropout)
        self.start = nn.Parameter(torch.zeros(shape.hidden))  # initial state
        self.gru = nn.GRU(shape.hidden, shape.hidden, batch_first=True)
        self.project = nn.Linear(shape.hidden, shape.dimensions)
        if shape.memory:
            self.memory = self._table()
            self.log_recency = nn.Parameter(LOUD - 0.5 * torch.arange(1, shape.n_orders + 1).log())
        self.rows = nn.Parameter(torch.randn(shape.items, shape.dimensions) * SPREAD)
        self.bias = nn.Parameter(torch.zeros(shape.items))

    def forward(self, batch: Padded) -> Tensor:
        """Return the states after 0, 1, … orders, without the last component: (rows, steps + 1, dimensions)."""
        encoded = [self.encoder(self.dropout(self.vectors(group)), group < self.shape.items) for group in batch.groups]
        start = self.start.expand(1, len(batch.length), -1).contiguous()  # (1, rows, hidden)
        h = start.transpose(0, 1)
        if batch.steps:
            orders = self.dropout(_grid(encoded, batch))  # (rows, steps, hidden)
            h = torch.cat([h, self.gru(orders, start)[0]], dim=1)  # (rows, steps + 1, hidden)
        states: Tensor = self.project(self.dropout(h))
        return states + self._remember(batch) if self.shape.memory and batch.steps else states

    def products(self) -> Tensor:
        """Return the rows with their biases, (items, dimensions + 1)."""
        return torch.cat([self.rows, self.bias[:, None]], dim=1)

    def _table(self) -> nn.Embedding:
        table = nn.Embedding(self.shape.items + 1, self.shape.dimensions, padding_idx=self.shape.items)
        with torch.no_grad():
            table.weight *= SPREAD
        return table

    def _remember(self, batch: Padded) -> Tensor:
        """Return the sum over the products of all earlier orders, (rows, steps + 1, dimensions)."""
        groups = batch.groups
        if self.training:  # memory dropout
            dropped = [torch.rand(group.shape, device=group.device) < self.memory_dropout for group in groups]
            groups = [group.masked_fill(gone, self.shape.items) for group, gone in zip(groups, dropped, strict=True)]
        sums = _grid([self.memory(group).sum(1) for group in groups], batch)  # (rows, steps, dimensions)
        lines = _grid([(group < self.shape.items).sum(1, keepdim=True).float() for group in groups], batch).cumsum(1)
        now, then = torch.arange(batch.steps + 1, device=sums.device), torch.arange(batch.steps, device=sums.device)
        age = now[:, None] - 1 - then  # (steps + 1, steps), 0: the last order, negative: in the future
        weights = self.log_recency.exp()[age.clamp(min=0)] * (age >= 0)
        total = torch.einsum("ts,rsd->rtd", weights, sums)
        return total / F.pad(lines, (0, 0, 1, 0)).clamp(min=1) ** self.shape.exponent


def _grid(parts: list[Tensor], batch: Padded) -> Tensor:
    """Put each order's (any,) into its cell: (rows, steps, any), zeros where there is no order."""
    orders = torch.cat(parts)
    grid = orders.new_zeros(len(batch.length) * batch.steps, orders.shape[1]).index_copy(0, batch.cell, orders)
    return grid.view(len(batch.length), batch.steps, -1)


@dataclass(frozen=True)
class StateModel:
    """A trained network: its weights, its states, and its files."""

    shape: Shape
    weights: Mapping[str, Floats]  # of an OrderNetwork, by name
    epochs_run: int  # the best epoch
    validation: Sequence[float]  # recall after each epoch

    @classmethod
    def of(cls, network: OrderNetwork, epochs_run: int, validation: Sequence[float]) -> "StateModel":
        """Copy a network's weights as they are now."""
        weights = {name: weight.numpy(force=True).copy() for name, weight in network.state_dict().items()}
        return cls(network.shape, weights, epochs_run, list(validation))

    @property
    def products(self) -> Floats:
        """(items, dimensions + 1): the rows, the last component the bias."""
        return np.concatenate([self.weights["rows"], self.weights["bias"][:, None]], axis=1)

    @property
    def product_vectors(self) -> Floats:
        """(items, dimensions): what the order encoder reads."""
        return self.weights["vectors.weight"][:-1]

    def states(self, baskets: Baskets) -> Floats:
        """Return (customers, dimensions + 1), the last component 1.

        The items of `baskets` are numbered as the rows. Products of other numbers are unknown and left out, as are
        orders without a known product. A customer without orders has the initial state.
        """
        return network_states(self._network, baskets)

    def to_arrays(self) -> tuple[dict[str, Floats], dict[str, Any]]:
        """Return the weights by name, for a file, and the rest as JSON."""
        rest = {"shape": asdict(self.shape), "epochs_run": self.epochs_run, "validation": list(self.validation)}
        return dict(self.weights), rest

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats], rest: Mapping[str, Any]) -> "StateModel":
        """Return the model from the result of `to_arrays`."""
        return cls(Shape(**rest["shape"]), dict(arrays), rest["epochs_run"], rest["validation"])

    @cached_property
    def _network(self) -> OrderNetwork:
        network = OrderNetwork(self.shape)
        network.load_state_dict({name: torch.from_numpy(weight) for name, weight in self.weights.items()})
        return network


@torch.no_grad()
def network_states(network: OrderNetwork, baskets: Baskets, customers: Ints | None = None) -> Floats:
    """Return the states of some customers, or of all, (customers, dimensions + 1); see `StateModel.states`."""
    network.eval()
    shape, device = network.shape, network.bias.device
    customer_start, order_start, item = _known(baskets, shape.items)
    if customers is None:
        customers = np.arange(len(customer_start) - 1)
    last = customer_start[customers + 1]
    first = np.maximum(customer_start[customers], last - shape.n_orders)
    states = np.ones((len(customers), shape.dimensions + 1), dtype=np.float32)
    by_length = np.argsort(last - first, kind="stable")
    for start in range(0, len(by_length), BATCH):
        rows = by_length[start : start + BATCH]
        batch = pad(order_start, item, first[rows], last[rows], shape.items)
        groups = [group.to(device) for group in batch.groups]
        after = network(Padded(groups, batch.cell.to(device), batch.length, batch.steps))
        states[rows, :-1] = after[torch.arange(len(rows)), batch.length].numpy(force=True)
    return states


def _known(baskets: Baskets, items: int) -> tuple[Ints, Ints, Ints]:
    """Return customer_start, order_start and item without unknown products and empty orders."""
    known = (baskets.item >= 0) & (baskets.item < items)
    order_start = starts_of(known)[baskets.order_start]
    some = np.diff(order_start) > 0
    return (
        starts_of(some)[baskets.customer_start],
        np.append(order_start[:-1][some], order_start[-1]),
        baskets.item[known],
    )
