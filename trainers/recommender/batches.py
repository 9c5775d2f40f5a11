"""Cuts events into training steps: histories and targets as bags of items."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from aisle.trainers.neural import sample_candidates, starts
from aisle.trainers.recommender.events import Events, Ints
from aisle.trainers.recommender.options import TowerOptions
from aisle.trainers.recommender.towers import ANY_LENGTH, Queries, places

FULL_SOFTMAX = 100_000  # items; beyond that the soft-max is sampled
SAMPLED = 8192  # items drawn for a sampled soft-max
SMALLEST_BATCH = 16  # rows
STEPS = 20  # an epoch, at least, if there are enough rows


class Batch(NamedTuple):  # accelerate moves tuples to a device, not dataclasses
    """One step's histories and targets, as bags of items."""

    user: Tensor  # (batch,), -1: unknown
    context: dict[str, Tensor]  # feature → (batch,)
    history: tuple[Tensor, Tensor]  # items, and the start of each of the batch's bags
    position: Tensor  # of the history's items
    scale: Tensor  # of the history's items: 1 / n^exponent
    targets: tuple[Tensor, Tensor]
    share: Tensor  # of the targets; the sum of a row is 1
    weight: Tensor  # (batch,)
    excluded: tuple[Tensor, Tensor]  # (row, column) of the logits
    candidates: Tensor | None  # items; None: all
    correction: Tensor | None  # (candidates,), added to the logits


class Batches:
    """Cuts the events into steps."""

    def __init__(self, events: Events, options: TowerOptions) -> None:
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

        # Even with few rows, an epoch has several steps.
        self.size = min(options.batch_size, max(SMALLEST_BATCH, len(self.rows) // STEPS))

    def __len__(self) -> int:
        return -(-len(self.rows) // self.size)

    def epoch(self, seed: int, epoch: int, process: int, processes: int) -> Iterator[Batch]:
        """Yield one process's share of each step."""
        order = np.random.default_rng((seed, epoch)).permutation(self.rows)
        random = np.random.default_rng((seed, epoch, process))
        for start in range(0, len(order), self.size):
            rows = order[start : start + self.size]
            yield self._batch(rows[process::processes] if len(rows) >= processes else rows, random)

    def _batch(self, rows: Ints, random: np.random.Generator) -> Batch:
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
        position = places(query, len(rows))  # among the events that are left
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
        return Batch(
            user=torch.from_numpy(user),
            context={name: torch.from_numpy(values) for name, values in queries.context.items()},
            history=(torch.from_numpy(events.item[row]), starts(n)),
            position=torch.from_numpy(position),
            scale=torch.from_numpy((n[query] ** -options.exponent).astype(np.float32)),
            targets=(torch.from_numpy(events.item[target]), starts(np.bincount(line, minlength=len(rows)))),
            share=torch.from_numpy((share / total[line]).astype(np.float32)),
            weight=torch.from_numpy(weight.astype(np.float32)),
            excluded=(torch.from_numpy(excluded[0][there]), torch.from_numpy(column[there])),
            candidates=candidates,
            correction=correction,
        )

    def _candidates(self, targets: Ints, random: np.random.Generator) -> tuple[Tensor | None, Tensor | None, Ints]:
        """Return a soft-max's items, the log of how many items each stands for, and each item's column (-1: none)."""
        items = len(self.events.items)
        columns = np.arange(items)
        if self.sampled is None:
            return None, None, columns
        candidates, correction = sample_candidates(targets, items, min(items, self.sampled), random)
        columns = np.full(items, -1)
        columns[candidates] = np.arange(len(candidates))
        return torch.from_numpy(candidates), torch.from_numpy(correction), columns
