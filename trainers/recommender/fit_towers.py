"""Fits the two towers of trainers/recommender/towers.py.

The item tower, which computes an item's vectors (ids, category paths, texts, smoothing over users' items), runs only
here. The loss is the full soft-max over all items; for a large catalogue, a sampled one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator  # type: ignore[import-untyped]
from accelerate.utils import send_to_device  # type: ignore[import-untyped]
from scipy import sparse
from torch import Tensor, nn

from aisle.db import errors
from aisle.embedder.item_tower import ItemTower, prefixes
from aisle.trainers.neural import EarlyStopping, Matrix, Progress, multiply, total_over_items
from aisle.trainers.recommender.batches import Batch, Batches
from aisle.trainers.recommender.events import Events, Floats
from aisle.trainers.recommender.options import TowerOptions
from aisle.trainers.recommender.towers import ANY_LENGTH, Factors, Repeat, ones
from aisle.trainers.recommender.validation import Questions, learn_popularity, learn_repeat, recall

TEXT_WIDTH = 128  # hidden units
HALF_PRECISION = 20_000_000  # logits of a step; beyond that they are bfloat16
NOTHING_LEFT = "No events with a weight are left to learn from when each user's last event is held out."
MORE_EVENTS = "Attach a table with more events."


def fit(
    events: Events,
    validation: Events | None,
    options: TowerOptions,
    *,
    seed: int,
    progress: Progress = lambda epoch, loss, metric: None,
    like: Factors | None = None,
    start: Sequence[Mapping[str, Floats]] | None = None,
) -> Factors:
    """Fit on `events`; same seed and machine, same factors.

    `validation` are held-out events of the same users and items, whose histories are in `events`: they stop the
    training, and fit the weights of popularity and repetition. To fit on everything afterwards, pass no validation, and
    the first factors as `like`: it gives the number of epochs and the weights. `start` has each member's initial
    parameters, as in `Factors.learned`, for these items, categories and values; a row of zeros is new.
    """
    test = Questions.of(events, validation, options, seed) if validation is not None and len(validation) else None
    repeat = like.repeat if like else None
    if like:
        options = replace(options, stop_after=like.epochs_run)
    members: list[Factors] = []
    for member in range(options.members):
        recency = members[0].recency if members else None  # all members share w, the first member's
        initial = start[member] if start else {}
        members.append(_fit_one(events, test, options, seed + member, progress, repeat, recency, initial))
    factors = members[0] if len(members) == 1 else _concatenate(members)
    factors = factors.lengthened(events, like.popularity if like else learn_popularity(factors, events, test, options))
    return replace(factors, repeat=repeat or learn_repeat(factors, test, options))


class _Model(nn.Module):
    """The towers; `forward` is the loss of a batch."""

    def __init__(self, events: Events, options: TowerOptions, recency: Floats, generator: torch.Generator) -> None:
        super().__init__()
        self.options = options
        d, items = options.dimensions, events.items
        width = (d if options.tied else 2 * d) + (0 if options.cosine else 1)  # into, out, bias

        def table(rows: int, columns: int, spread: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(rows, columns, generator=generator) * spread)

        self.constant = table(1, d, 0.0)
        self.users = table(len(events.user_ids), d, 0.0).requires_grad_(self._has("user"))
        contexts = {name: len(values) for name, values in events.context_values.items() if name in options.features}
        self.contexts = nn.ParameterDict({name: table(values, d, 0.0) for name, values in contexts.items()})
        self.log_recency = nn.Parameter(torch.from_numpy(recency).log(), requires_grad=options.order == "time")
        self.ids = table(len(items), width, options.spread if "item" in options.features else 0.0)
        self.ids.requires_grad_("item" in options.features)
        self.names = sorted({p for path in items.categories for p in prefixes(path)} if self._has("category") else ())
        self.categories = table(len(self.names), width, options.spread)
        rows = {name: row for row, name in enumerate(self.names)}
        paths = [[rows[prefix] for prefix in prefixes(path) if prefix in rows] for path in items.categories]
        self.paths = Matrix(ones(paths, len(self.names)))
        self.text: nn.Sequential | None = None
        if self._has("text") and items.texts is not None:
            layers = nn.Linear(items.texts.shape[1], TEXT_WIDTH), nn.Linear(TEXT_WIDTH, width, bias=False)
            for layer in layers:
                nn.init.normal_(layer.weight, std=options.spread * layer.in_features**-0.5, generator=generator)
            nn.init.zeros_(layers[0].bias)
            self.text = nn.Sequential(layers[0], nn.ReLU(), layers[1])
            self.texts = nn.Parameter(torch.from_numpy(items.texts), requires_grad=False)
        self.graph = Matrix(_graph(events)) if options.smoothing else None

    def _has(self, feature: str) -> bool:
        return feature in self.options.features

    def start_from(self, parameters: Mapping[str, Floats]) -> None:
        """Copy the initial parameters that fit; rows of zeros keep their random values."""
        for name, own in self.named_parameters():
            if own.requires_grad and name in parameters and own.shape == parameters[name].shape:
                given = torch.from_numpy(parameters[name])
                known = given.any(-1, keepdim=True) if given.ndim > 1 else torch.tensor(True)
                own.data = torch.where(known, given, own.data)

    def items(self, dropped: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return (into, out) of all items, (items, d or d + 1); a dropped item has neither id nor neighbours."""
        known = torch.ones_like(self.ids[:, :1]) if dropped is None else (~dropped).float()[:, None]
        x = self.ids * known  # (items, width)
        if len(self.categories):
            x = x + multiply(self.paths, self.categories)
        if self.text is not None:
            x = x + self.text(self.texts) * self.texts.any(1, keepdim=True)
        if self.graph is not None:
            near, bias = (x, x[:, :0]) if self.options.cosine else (x[:, :-1], x[:, -1:])
            x = near
            for _ in range(self.options.smoothing):
                near = multiply(self.graph, multiply(self.graph, near), transposed=True)
                x = x + near * known
            x = torch.cat([x, bias], dim=1)
        return _into_and_out(x, self.options.dimensions, self.options.cosine)

    def user_vectors(self, batch: Batch, into: Tensor) -> Tensor:
        """Return u, (batch, d)."""
        weights = self.log_recency.exp()[batch.position] * batch.scale
        items, starts = batch.history
        u = self.constant + F.embedding_bag(items, into, starts, mode="sum", per_sample_weights=weights)
        u = u + _rows(self.users, batch.user)
        for name, vectors in self.contexts.items():
            u = u + _rows(vectors, batch.context[name])
        return u

    def forward(self, batch: Batch, dropped: Tensor | None) -> Tensor:
        # Half precision only pays in that total, whatever `accelerate launch`, or an encoder trained in the same
        # process, has set.
        with torch.autocast(self.constant.device.type, enabled=False):
            return self._loss(batch, dropped)

    def _loss(self, batch: Batch, dropped: Tensor | None) -> Tensor:
        into, out = self.items(dropped)
        u = self.user_vectors(batch, into)
        u = F.normalize(u, dim=1) if self.options.cosine else F.pad(u, (0, 1), value=1.0)
        u = u / self.options.temperature
        items, starts = batch.targets
        target = F.embedding_bag(
            items, out, starts, mode="sum", per_sample_weights=batch.share
        )  # mean of the targets' q
        against = out if batch.candidates is None else out[batch.candidates]
        total = total_over_items(  # (batch,)
            u, against, batch.correction, batch.excluded, most_logits=HALF_PRECISION
        )
        # A small batch may have no target.
        loss: Tensor = ((total - (u * target).sum(1)) * batch.weight).sum() / batch.weight.sum().clamp(min=1e-12)
        if self.options.weight_decay:
            loss = loss + self.options.weight_decay * sum(
                x.square().sum() for x in (self.users, *self.contexts.values())
            )
        return loss

    @torch.no_grad()
    def factors(self, context_values: Mapping[str, Sequence[str]], epoch: int, validation: Sequence[float]) -> Factors:
        """Return the tables for serving. An item's bias is one more dimension, in which the constant makes u 1."""
        d, cosine = self.options.dimensions, self.options.cosine
        into, out = self.items()

        def table(vectors: Tensor, last: float = 0.0) -> Floats:
            return (vectors if cosine else F.pad(vectors, (0, 1), value=last)).numpy(force=True).copy()

        categories = self.categories.numpy(force=True).copy()
        text = tuple(x.numpy(force=True).copy() for x in self.text.parameters()) if self.text is not None else ()
        return Factors(
            constant=table(self.constant, 1.0)[0],
            users=table(self.users),
            into=table(into[:, :d]),
            out=out.numpy(force=True).copy(),
            context={name: table(vectors) for name, vectors in self.contexts.items()},
            context_values={name: context_values[name] for name in self.contexts},
            recency=self.log_recency.exp().numpy(force=True).copy(),
            exponent=self.options.exponent,
            popularity=0.0,
            repeat=Repeat(),
            distinct=self.options.exclude_seen,
            towers=[ItemTower(d, cosine, self.names, categories, text)],
            epochs_run=epoch,
            validation=list(validation),
            learned=[
                {
                    name: parameter.numpy(force=True).copy()
                    for name, parameter in self.named_parameters()
                    if parameter.requires_grad and name != "users"
                }
            ],
        )


def _fit_one(
    events: Events,
    test: Questions | None,
    options: TowerOptions,
    seed: int,
    progress: Progress,
    repeat: Repeat | None,
    recency: Floats | None,
    start: Mapping[str, Floats],
) -> Factors:
    """Fit one member; `recency` is another member's, which stays fixed."""
    batches = Batches(events, options)
    if not len(batches):
        raise errors.TrainingDataError(NOTHING_LEFT, hint=MORE_EVENTS)
    learned = recency is None and options.order == "time"
    if recency is None:
        longest = int(np.bincount(events.user, minlength=1).max(initial=1))
        length = options.history or min(longest, ANY_LENGTH)
        recency = np.arange(1, length + 1, dtype=np.float32) ** (-0.5 if learned else 0)
    accelerator = Accelerator()
    plain = _Model(events, options, recency, torch.Generator().manual_seed(seed))
    plain.log_recency.requires_grad_(learned)
    plain.start_from(start)
    optimiser = torch.optim.Adam((p for p in plain.parameters() if p.requires_grad), lr=options.learning_rate)
    model, optimiser = accelerator.prepare(plain, optimiser)
    generator = torch.Generator().manual_seed(seed)
    content = {"category", "text"} & set(options.features)

    steps, step = options.epochs * len(batches), 0
    stopping = EarlyStopping[Factors](options.patience)
    for epoch in range(1, (options.stop_after or options.epochs) + 1):
        total = 0.0
        for batch in batches.epoch(seed, epoch, accelerator.process_index, accelerator.num_processes):
            for group in optimiser.param_groups:
                group["lr"] = options.learning_rate * (1 - step / steps)
            dropped = torch.rand(len(plain.ids), generator=generator) < options.id_dropout if content else None
            loss = model(*send_to_device((batch, dropped), accelerator.device))
            optimiser.zero_grad()
            accelerator.backward(loss)
            optimiser.step()
            total, step = total + loss.item(), step + 1
        metric = None
        if test is not None and epoch % options.evaluate_every == 0:
            factors = plain.factors(events.context_values, epoch, stopping.history)
            factors = replace(factors, repeat=repeat or learn_repeat(factors, test, options))
            metric = recall(factors, test.queries, test.truth, options)
            stopping.saw(metric, partial(replace, factors))
        progress(epoch, total / len(batches), metric)
        if stopping.is_over:
            break
    best = stopping.best or plain.factors(events.context_values, epoch, stopping.history)
    return replace(best, validation=stopping.history)


def _concatenate(members: Sequence[Factors]) -> Factors:
    """Return one set of tables whose dot products are the sums of the members' products."""

    def join(tables: Sequence[Floats]) -> Floats:
        return np.concatenate(tables, axis=-1)

    return replace(
        members[0],
        constant=join([m.constant for m in members]),
        users=join([m.users for m in members]),
        into=join([m.into for m in members]),
        out=join([m.out for m in members]),
        context={name: join([m.context[name] for m in members]) for name in members[0].context},
        towers=[tower for m in members for tower in m.towers],
        learned=[parameters for m in members for parameters in m.learned],
        epochs_run=round(float(np.mean([m.epochs_run for m in members]))),
    )


def _graph(events: Events) -> sparse.csr_array:
    """Return the user-item graph, (users, items), each entry divided by the roots of both degrees (LightGCN, eq. 3).

    If items have places, each neighbourhood is one more user.
    """
    shape = (len(events.user_ids), len(events.items))
    near = events.neighbourhoods
    events = events.select(events.weight > 0)
    graph = sparse.csr_array((np.ones(len(events)), (events.user, events.item)), shape=shape)
    graph.data[:] = 1
    graph = sparse.csr_array(sparse.vstack([graph, near]))
    users, items = (np.maximum(graph.sum(axis), 1) ** -0.5 for axis in (1, 0))
    return sparse.csr_array(sparse.diags_array(users) @ graph @ sparse.diags_array(items))


def _into_and_out(x: Tensor, dimensions: int, cosine: bool) -> tuple[Tensor, Tensor]:
    """Split the item tower's output; if into and out are tied, they are the same columns."""
    out = x[:, -dimensions:] if cosine else x[:, -dimensions - 1 :]
    return x[:, :dimensions], F.normalize(out, dim=1) if cosine else out


def _rows(table: Tensor, rows: Tensor) -> Tensor:
    """Return rows of a table, zeros for -1."""
    return F.embedding(rows + 1, F.pad(table, (0, 0, 1, 0)))
