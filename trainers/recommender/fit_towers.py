"""Fits the two towers of trainers/recommender/towers.py.

The item tower that yields an item's vectors (ids, category paths, texts, smoothing over who touched what) runs only
here. The loss is the full soft-max over all items; a large catalogue gets a sampled one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from accelerate import Accelerator  # type: ignore[import-untyped]
from accelerate.utils import send_to_device  # type: ignore[import-untyped]
from scipy import sparse
from torch import Tensor, nn

from aisle.db import errors
from aisle.embedder.item_tower import ItemTower, prefixes
from aisle.trainers.recommender.events import Events, Floats, Ints
from aisle.trainers.recommender.towers import ANY_LENGTH, Factors, Options, Pairs, Queries, Repeat, places

FULL_SOFTMAX = 100_000  # items; beyond that the soft-max is sampled
SAMPLED = 8192  # items drawn for a sampled soft-max
REPEAT_CELLS = 20_000_000  # (transitions, items) that the repeat coefficients are learned on
SMALLEST_BATCH = 16  # rows
STEPS = 20  # an epoch, at least, where there are rows enough
TEXT_WIDTH = 128  # hidden units
HALF_PRECISION = 20_000_000  # logits of a step; beyond that they are bfloat16
POPULARITY = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.13)  # exponents that are tried
NOTHING_LEFT = "Nothing that counts is left to learn from when each user's last is held out."
MORE_EVENTS = "Attach a table with more events."
EXCLUDED = -1e4  # logit of an item that may not be recommended

Progress = Callable[[int, float, float | None], None]  # epoch, loss, validation metric


def fit(
    events: Events,
    validation: Events | None,
    options: Options,
    *,
    seed: int,
    progress: Progress = lambda epoch, loss, metric: None,
    like: Factors | None = None,
    start: Sequence[Mapping[str, Floats]] | None = None,
) -> Factors:
    """Fit on `events`; same seed and machine, same factors.

    `validation` are held-out events of the same users and items, whose histories are in `events`: they stop the
    training, and on them is learned what popularity and repetition add. To fit on everything afterwards, pass no
    validation, and as `like` the factors found: the number of epochs and what was learned on validation are theirs.
    `start`, one a member, are parameters to begin with, as `Factors.learned` has them, for these items, categories and
    values; a row of zeros is of something that is new.
    """
    test = _Test.of(events, validation, options, seed) if validation is not None and len(validation) else None
    repeat = like.repeat if like else None
    if like:
        options = replace(options, stop_after=like.epochs_run)
    members: list[Factors] = []
    for member in range(options.members):
        recency = members[0].recency if members else None  # w is shared, so the first member's holds for all
        begun = start[member] if start else {}
        members.append(_fit_one(events, test, options, seed + member, progress, repeat, recency, begun))
    factors = members[0] if len(members) == 1 else _concatenate(members)
    factors = factors.lengthened(events, like.popularity if like else learn_popularity(factors, events, test, options))
    return replace(factors, repeat=repeat or learn_repeat(factors, test, options))


def recall(factors: Factors, queries: Queries, truth: sparse.csr_array, options: Options) -> float:
    """Return the mean share of a query's true items, (queries, items), in its best `evaluate_at`."""
    hits: list[npt.NDArray[np.float64]] = []
    for start in range(0, len(queries), options.batch_size):
        asked, true = queries[start : start + options.batch_size], truth[start : start + options.batch_size]
        scores = torch.from_numpy(factors.scores(asked, repeat=not options.exclude_seen))
        if options.exclude_seen:
            query, _, row = asked.histories(ANY_LENGTH, distinct=True)
            scores[query, asked.events.item[row]] = -torch.inf
        best = scores.topk(min(options.evaluate_at, scores.shape[1])).indices.numpy()  # (batch, k)
        found = true[np.repeat(np.arange(len(asked)), best.shape[1]), best.ravel()].reshape(best.shape)
        hits.append(found.sum(1) / np.diff(true.indptr))
    return float(np.concatenate(hits).mean())


def judge(factors: Factors, events: Events, validation: Events, options: Options, seed: int) -> tuple[float, Repeat]:
    """Return the recall of any factors on validation events, with what repetition adds to them, and that.

    Without such events the recall is 0.
    """
    if not len(validation):
        return 0.0, factors.repeat
    test = _Test.of(events, validation, options, seed)
    factors = replace(factors, repeat=learn_repeat(factors, test, options))
    return recall(factors, test.queries, test.truth, options), factors.repeat


def learn_popularity(factors: Factors, events: Events, test: "_Test | None", options: Options) -> float:
    """Return the exponent with which the validation queries find most; 0 where lengths or repeats are learned."""
    if test is None or not options.cosine or not options.exclude_seen:
        return 0.0
    some = slice(0, options.evaluated // 2)
    found = {
        exponent: recall(factors.lengthened(events, exponent), test.queries[some], test.truth[some], options)
        for exponent in POPULARITY
    }
    return max(found, key=lambda exponent: found[exponent])


def learn_repeat(factors: Factors, test: "_Test | None", options: Options) -> Repeat:
    """Learn the repeat coefficients by soft-max regression on held-out transitions; the scores stay as they are.

    The scale of the scores is learned with them and divided out.
    """
    if test is None or options.exclude_seen:
        return Repeat()
    rows = slice(0, max(200, REPEAT_CELLS // len(factors.out)))
    queries, truth = test.queries[rows], test.truth[rows]
    scores = torch.from_numpy(factors.scores(queries))  # (transitions, items)
    features = [name for name in options.features if name in queries.events.context]
    pairs = Pairs.of(queries, features)
    counts = [np.ones(len(pairs.query)), np.log1p(pairs.count), *(np.log1p(n) for n in pairs.context.values())]
    counted = torch.from_numpy(np.stack(counts, axis=1).astype(np.float32))  # (pairs, coefficients)
    query, item, pair = (torch.from_numpy(x) for x in (pairs.query, pairs.item, pairs.pair))
    position = torch.from_numpy(pairs.position).float()
    targets = truth.tocoo()
    line, column = (torch.from_numpy(x.astype(np.int64)) for x in targets.coords)

    coefficients = torch.zeros(counted.shape[1], requires_grad=True)
    recent, log_decay, log_scale = (torch.tensor(x, requires_grad=True) for x in (0.0, -2.0, 0.0))
    learned = [coefficients, recent, log_decay, log_scale]
    optimiser = torch.optim.LBFGS(learned, max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        decayed = torch.zeros(len(query)).index_add(0, pair, torch.exp(-log_decay.exp() * position))
        added = counted @ coefficients + recent * torch.log1p(decayed)
        logits = (scores * log_scale.exp()).index_put((query, item), added, accumulate=True)
        loss = F.cross_entropy(logits[line], column) + 1e-4 * sum(x.square().sum() for x in learned)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    scale = float(log_scale.detach().exp().clamp(min=1e-3))
    a, b, *d = (coefficients.detach() / scale).tolist()
    return Repeat(
        a, b, float(recent.detach()) / scale, float(log_decay.detach().exp()), dict(zip(features, d, strict=True))
    )


@dataclass(frozen=True)
class _Test:
    """Held-out events as questions."""

    queries: Queries
    truth: sparse.csr_array  # (queries, items)

    @classmethod
    def of(cls, events: Events, held_out: Events, options: Options, seed: int) -> "_Test":
        """Ask once a user where there is no order, else once a held-out event."""
        if options.order == "set":
            users, query = np.unique(held_out.user, return_inverse=True)
            queries = Queries.of_users(events, users)
        else:
            query = np.arange(len(held_out))
            queries = Queries.of_users(events, held_out.user, held_out.context)
        shape = (len(queries), len(events.items))
        truth = sparse.csr_array((np.ones(len(held_out)), (query, held_out.item)), shape=shape)
        truth.data[:] = 1
        kept = np.random.default_rng(seed).permutation(len(queries))[: options.evaluated]
        return cls(queries[kept], truth[kept])


class _Batch(NamedTuple):  # which accelerate moves to a device, as it does no dataclass
    """One step's histories and targets, as bags of items."""

    user: Tensor  # (batch,), -1: unknown
    context: dict[str, Tensor]  # feature → (batch,)
    history: tuple[Tensor, Tensor]  # items, and where each of the batch's bags starts
    position: Tensor  # of the history's items
    scale: Tensor  # of the history's items: 1 / n^exponent
    targets: tuple[Tensor, Tensor]
    share: Tensor  # of the targets: a row's add up to 1
    weight: Tensor  # (batch,)
    excluded: tuple[Tensor, Tensor]  # (row, column) of the logits
    candidates: Tensor | None  # items; None: all
    correction: Tensor | None  # (candidates,), added to the logits


class _Model(nn.Module):
    """The towers; `forward` is the loss of a batch."""

    def __init__(self, events: Events, options: Options, recency: Floats, generator: torch.Generator) -> None:
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
        self.paths = _Matrix(ones(paths, len(self.names)))
        self.text: nn.Sequential | None = None
        if self._has("text") and items.texts is not None:
            layers = nn.Linear(items.texts.shape[1], TEXT_WIDTH), nn.Linear(TEXT_WIDTH, width, bias=False)
            for layer in layers:
                nn.init.normal_(layer.weight, std=options.spread * layer.in_features**-0.5, generator=generator)
            nn.init.zeros_(layers[0].bias)
            self.text = nn.Sequential(layers[0], nn.ReLU(), layers[1])
            self.texts = nn.Parameter(torch.from_numpy(items.texts), requires_grad=False)
        self.graph = _Matrix(_graph(events)) if options.smoothing else None

    def _has(self, feature: str) -> bool:
        return feature in self.options.features

    def start_from(self, parameters: Mapping[str, Floats]) -> None:
        """Begin with these parameters where they fit, and as without them where a row is of zeros."""
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
            x = x + _multiply(self.paths, self.categories)
        if self.text is not None:
            x = x + self.text(self.texts) * self.texts.any(1, keepdim=True)
        if self.graph is not None:
            near, bias = (x, x[:, :0]) if self.options.cosine else (x[:, :-1], x[:, -1:])
            x = near
            for _ in range(self.options.smoothing):
                near = _multiply(self.graph, _multiply(self.graph, near), transposed=True)
                x = x + near * known
            x = torch.cat([x, bias], dim=1)
        return _into_and_out(x, self.options.dimensions, self.options.cosine)

    def user_vectors(self, batch: _Batch, into: Tensor) -> Tensor:
        """Return u, (batch, d)."""
        weights = self.log_recency.exp()[batch.position] * batch.scale
        items, starts = batch.history
        u = self.constant + F.embedding_bag(items, into, starts, mode="sum", per_sample_weights=weights)
        u = u + _rows(self.users, batch.user)
        for name, vectors in self.contexts.items():
            u = u + _rows(vectors, batch.context[name])
        return u

    def forward(self, batch: _Batch, dropped: Tensor | None) -> Tensor:
        # Half precision is only worth it in _LogSumExp, whatever `accelerate launch`, or an encoder that was trained in
        # the same process, has chosen.
        with torch.autocast(self.constant.device.type, enabled=False):
            return self._loss(batch, dropped)

    def _loss(self, batch: _Batch, dropped: Tensor | None) -> Tensor:
        into, out = self.items(dropped)
        u = self.user_vectors(batch, into)
        u = F.normalize(u, dim=1) if self.options.cosine else F.pad(u, (0, 1), value=1.0)
        u = u / self.options.temperature
        items, starts = batch.targets
        target = F.embedding_bag(items, out, starts, mode="sum", per_sample_weights=batch.share)  # mean of targets' q
        against = out if batch.candidates is None else out[batch.candidates]
        total = _LogSumExp.apply(u, against, batch.correction, batch.excluded)  # type: ignore[no-untyped-call]  # (batch,)
        # In a small batch nobody may have a target.
        loss: Tensor = ((total - (u * target).sum(1)) * batch.weight).sum() / batch.weight.sum().clamp(min=1e-12)
        if self.options.weight_decay:
            loss = loss + self.options.weight_decay * sum(
                x.square().sum() for x in (self.users, *self.contexts.values())
            )
        return loss

    @torch.no_grad()
    def factors(self, context_values: Mapping[str, Sequence[str]], epoch: int, validation: Sequence[float]) -> Factors:
        """Return the tables that serve. The bias of an item is one more dimension, in which u is 1 by its constant."""
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


class _Matrix(nn.Module):
    """A constant sparse matrix and its transpose, as bags."""

    def __init__(self, matrix: sparse.csr_array) -> None:
        super().__init__()
        for name, m in (("rows", matrix), ("columns", sparse.csr_array(matrix.T))):
            self.register_buffer(f"{name}_items", torch.from_numpy(m.indices.astype(np.int64)), persistent=False)
            self.register_buffer(f"{name}_starts", torch.from_numpy(m.indptr[:-1].astype(np.int64)), persistent=False)
            self.register_buffer(f"{name}_weights", torch.from_numpy(m.data.astype(np.float32)), persistent=False)

    def times(self, dense: Tensor, transposed: bool) -> Tensor:
        name = "columns" if transposed else "rows"
        items, starts, weights = (self.get_buffer(f"{name}_{part}") for part in ("items", "starts", "weights"))
        return F.embedding_bag(items, dense.contiguous(), starts, mode="sum", per_sample_weights=weights)


class _Multiply(torch.autograd.Function):
    """Sparse constant matrix times dense; the gradient is its transpose times dense, cheaper than a scatter."""

    @staticmethod
    def forward(context: Any, dense: Tensor, matrix: _Matrix, transposed: bool) -> Tensor:
        context.matrix, context.transposed = matrix, transposed
        return matrix.times(dense, transposed)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return context.matrix.times(gradients[0], not context.transposed), None, None


def _multiply(matrix: _Matrix, dense: Tensor, *, transposed: bool = False) -> Tensor:
    product: Tensor = _Multiply.apply(dense, matrix, transposed)  # type: ignore[no-untyped-call]
    return product


class _LogSumExp(torch.autograd.Function):
    """log Σ_i exp(⟨u, q_i⟩ + correction_i), (batch,); keeps the soft-max only, in half precision where it is large."""

    @staticmethod
    def forward(
        context: Any, u: Tensor, q: Tensor, correction: Tensor | None, excluded: tuple[Tensor, Tensor]
    ) -> Tensor:
        kind = torch.bfloat16 if len(u) * len(q) > HALF_PRECISION else torch.float32
        u, q = u.to(kind), q.to(kind)
        logits = u @ q.T  # (batch, items)
        if correction is not None:
            logits += correction
        logits[excluded] = EXCLUDED
        share = torch.softmax(logits, dim=1)
        context.save_for_backward(share, u, q)
        some = (
            logits[:, :256].amax(1).float()
        )  # any that is not excluded will do: logit - log share is the same for all
        return some - share[:, :256].amax(1).float().log()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        share, u, q = context.saved_tensors
        gradient = gradients[0][:, None]
        return (share @ q).float() * gradient, (share.T @ (u * gradient.to(u.dtype))).float(), None, None


class _Batches:
    """Cuts the events into steps."""

    def __init__(self, events: Events, options: Options) -> None:
        self.events, self.options = events, options
        first = events.first()
        if options.order == "set":
            self.events = events.select(first)  # each item of a user once
            counting = np.bincount(self.events.user, self.events.weight, minlength=1) > 0
            self.rows: Ints = np.flatnonzero(counting & (np.bincount(self.events.user, minlength=1) > 1))  # users
        else:
            self.rows = np.flatnonzero((events.weight > 0) & (first | (not options.exclude_seen)))  # events
        items = len(events.items)
        self.sampled = options.negatives or (SAMPLED if items > FULL_SOFTMAX else None)
        if self.sampled is not None and self.sampled >= items:
            self.sampled = None

        # However few the rows are, an epoch is to be some steps.
        self.size = min(options.batch_size, max(SMALLEST_BATCH, len(self.rows) // STEPS))

    def __len__(self) -> int:
        return -(-len(self.rows) // self.size)

    def epoch(self, seed: int, epoch: int, process: int, processes: int) -> Iterator[_Batch]:
        """Yield one process's share of each step."""
        order = np.random.default_rng((seed, epoch)).permutation(self.rows)
        random = np.random.default_rng((seed, epoch, process))
        for start in range(0, len(order), self.size):
            rows = order[start : start + self.size]
            yield self._batch(rows[process::processes] if len(rows) >= processes else rows, random)

    def _batch(self, rows: Ints, random: np.random.Generator) -> _Batch:
        options, events = self.options, self.events
        by_time = options.order == "time"
        queries = Queries.of_events(events, rows) if by_time else Queries.of_users(events, rows)
        query, _, row = queries.histories(ANY_LENGTH, distinct=options.exclude_seen)
        kept = random.random(len(query)) >= options.history_dropout
        if by_time:
            excluded = query, events.item[row]
            targets = np.arange(len(rows)), rows
        else:
            excluded = query[kept], events.item[row[kept]]
            targets = query[~kept], row[~kept]
        query, row = query[kept], row[kept]
        position = places(query, len(rows))  # among those that are left
        near = position < (options.history or ANY_LENGTH)
        query, row, position = query[near], row[near], position[near]
        n = np.bincount(query, minlength=len(rows))
        line, target = targets
        counts = events.weight[target] > 0
        line, target = line[counts], target[counts]
        share = events.weight[target]
        total = np.bincount(line, weights=share, minlength=len(rows))
        weight = total**options.user_weight if options.order == "set" else total
        user = np.where(random.random(len(rows)) < options.user_dropout, -1, queries.user)
        candidates, correction, columns = self._candidates(events.item[target], random)
        column = columns[excluded[1]]
        there = column >= 0 if options.exclude_seen else np.zeros(len(column), dtype=bool)
        return _Batch(
            user=torch.from_numpy(user),
            context={name: torch.from_numpy(values) for name, values in queries.context.items()},
            history=(torch.from_numpy(events.item[row]), _starts(n)),
            position=torch.from_numpy(position),
            scale=torch.from_numpy((n[query] ** -options.exponent).astype(np.float32)),
            targets=(torch.from_numpy(events.item[target]), _starts(np.bincount(line, minlength=len(rows)))),
            share=torch.from_numpy((share / total[line]).astype(np.float32)),
            weight=torch.from_numpy(weight.astype(np.float32)),
            excluded=(torch.from_numpy(excluded[0][there]), torch.from_numpy(column[there])),
            candidates=candidates,
            correction=correction,
        )

    def _candidates(self, targets: Ints, random: np.random.Generator) -> tuple[Tensor | None, Tensor | None, Ints]:
        """Return the items of a soft-max, the log of what each stands for, and each item's column (-1: none).

        All of the batch's targets stand for themselves, some others for all others: the sum is unbiased (the log-Q
        correction of sampled soft-max; Bengio and Senécal, 2008).
        """
        items = len(self.events.items)
        columns = np.arange(items)
        if self.sampled is None:
            return None, None, columns
        targets = np.unique(targets)
        others = np.setdiff1d(random.choice(items, min(items, self.sampled), replace=False), targets)
        candidates = np.concatenate([targets, others])
        correction = np.zeros(len(candidates), dtype=np.float32)
        correction[len(targets) :] = np.log(max(1, items - len(targets)) / max(1, len(others)))
        columns = np.full(items, -1)
        columns[candidates] = np.arange(len(candidates))
        return torch.from_numpy(candidates), torch.from_numpy(correction), columns


def _fit_one(
    events: Events,
    test: _Test | None,
    options: Options,
    seed: int,
    progress: Progress,
    repeat: Repeat | None,
    recency: Floats | None,
    start: Mapping[str, Floats],
) -> Factors:
    """Fit one member; `recency` is another member's, to be kept as it is."""
    batches = _Batches(events, options)
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
    best: Factors | None = None
    history: list[float] = []
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
            factors = plain.factors(events.context_values, epoch, history)
            factors = replace(factors, repeat=repeat or learn_repeat(factors, test, options))
            metric = recall(factors, test.queries, test.truth, options)
            history.append(metric)
            if metric >= max(history):
                best = factors
        progress(epoch, total / len(batches), metric)
        if len(history) - int(np.argmax(history)) > options.patience if history else False:
            break
    best = best or plain.factors(events.context_values, epoch, history)
    return replace(best, validation=history)


def _concatenate(members: Sequence[Factors]) -> Factors:
    """Return one set of tables whose dot products are the sums of the members'."""

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
    """Return who touched what, (users, items), each entry divided by the roots of both degrees (LightGCN, eq. 3).

    Where items have places, each neighbourhood is one more user.
    """
    shape = (len(events.user_ids), len(events.items))
    near = events.neighbourhoods
    events = events.select(events.weight > 0)
    touched = sparse.csr_array((np.ones(len(events)), (events.user, events.item)), shape=shape)
    touched.data[:] = 1
    touched = sparse.csr_array(sparse.vstack([touched, near]))
    users, items = (np.maximum(touched.sum(axis), 1) ** -0.5 for axis in (1, 0))
    return sparse.csr_array(sparse.diags_array(users) @ touched @ sparse.diags_array(items))


def _into_and_out(x: Tensor, dimensions: int, cosine: bool) -> tuple[Tensor, Tensor]:
    """Cut the item tower's output; where into and out are tied, they are the same columns."""
    out = x[:, -dimensions:] if cosine else x[:, -dimensions - 1 :]
    return x[:, :dimensions], F.normalize(out, dim=1) if cosine else out


def _rows(table: Tensor, rows: Tensor) -> Tensor:
    """Return rows of a table, zeros for -1."""
    return F.embedding(rows + 1, F.pad(table, (0, 0, 1, 0)))


def _starts(lengths: Ints) -> Tensor:
    return torch.from_numpy(np.cumsum(lengths) - lengths)


def ones(rows: Sequence[Sequence[int]], columns: int) -> sparse.csr_array:
    """Return the matrix, (rows, columns), that has ones in these columns of each row."""
    indptr = np.cumsum([0, *map(len, rows)])
    indices = np.array([column for row in rows for column in row], dtype=np.int64)
    return sparse.csr_array((np.ones(len(indices)), indices, indptr), shape=(len(rows), columns))
