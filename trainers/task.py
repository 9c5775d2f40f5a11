"""What a task is: all that training, evaluation, retraining, experiments and the command line know of one.

A task is a subclass in a folder of its own, a row of `aisle._tasks`, and the vector tables that this row names.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from psycopg import sql as compose

from aisle import db
from aisle.db import Connection, errors, model_registry
from aisle.embedder.row_embedder import RowEmbedder
from aisle.trainers.gate import Verdict, better_than_all
from aisle.trainers.options import TaskOptions, restore

NOT_TO_COME = compose.SQL("e.local_at < now()::timestamp + interval '1 day'")  # wherever the shop's clock is

Report = Callable[[str], None]  # is given a line of progress
Metrics = dict[str, Any]

OptionsT = TypeVar("OptionsT", bound=TaskOptions)
DataT = TypeVar("DataT")  # what was read of the shop
HeldOutT = TypeVar("HeldOutT")  # what of it is held out, and what is left
FittedT = TypeVar("FittedT")


@dataclass(frozen=True)
class Drift:
    """How far the shop has moved on since a model was trained; None where it does not apply or is not known."""

    new_rows: float | None = None  # share of the rows that came or went; of items, also of those that changed
    mix: float | None = None  # share of the items that would have to change their category for the old mix
    confidence: float | None = None  # how much less sure the model is of new items than of the held-out ones


class Task(ABC, Generic[OptionsT, DataT, HeldOutT, FittedT]):
    """One thing that is learned of a shop, and that SQL functions then answer."""

    name: ClassVar[str]
    options: ClassVar[type[Any]]
    answer: ClassVar[str]  # the SQL function that is measured
    metric: ClassVar[str]  # what decides whether a model is better; `{top}` is the options'
    embedder: ClassVar[type[RowEmbedder[Any]] | None] = None  # what keeps its vectors up to date, if anything does
    overlap_query: ClassVar[str | None] = None  # asks two models the same; None: answers are not compared
    recall_query: ClassVar[str | None] = None  # compares an index with exact searches

    @abstractmethod
    def source(self, connection: Connection) -> str:
        """Return the view of Aisle's that it learns from, such as `_items`."""

    def settle(self, connection: Connection, options: OptionsT) -> OptionsT:
        """Return the options with what depends on the shop filled in. These are stored."""
        return options

    @abstractmethod
    def read(self, connection: Connection, options: OptionsT, report: Report) -> DataT:
        """Read what there is to learn from; raises NotAttachedError, and TrainingDataError if it is too little."""

    def start(self, connection: Connection, data: DataT, options: OptionsT) -> Any:
        """Return what the live model has kept to start from; raises NoLiveModelError and WarmStartError."""
        raise errors.WarmStartError(f"A {self.name} model keeps no weights to start from.")

    @abstractmethod
    def split(self, data: DataT, options: OptionsT, start: Any = None) -> HeldOutT:
        """Hold out what the model is measured on; raises TrainingDataError if nothing would be left on either side."""

    @abstractmethod
    def describe(self, data: DataT, held_out: HeldOutT) -> str:
        """Return a sentence about how much there is."""

    @abstractmethod
    def fit(
        self, connection: Connection, data: DataT, held_out: HeldOutT, options: OptionsT, report: Report,
        start: Any = None,
    ) -> FittedT:  # fmt: skip
        """Fit a model to what is not held out."""

    @abstractmethod
    def load(
        self, connection: Connection, data: DataT, held_out: HeldOutT, fitted: FittedT, options: OptionsT,
        parameters: Mapping[str, Any],
    ) -> int:  # fmt: skip
        """Register the model with these parameters and its own, and copy its rows and files; return its id."""

    @abstractmethod
    def score(
        self, connection: Connection, model_id: int, held_out: HeldOutT, options: OptionsT, *, heldout_of: int
    ) -> Metrics:
        """Ask a model, through SQL, for what another one was measured on; return the scores."""

    def measure(
        self, connection: Connection, model_id: int, held_out: HeldOutT, fitted: FittedT, options: OptionsT,
        live: int | None,
    ) -> Metrics:  # fmt: skip
        """Measure a new model on what it held out, through SQL."""
        return self.score(connection, model_id, held_out, options, heldout_of=model_id)

    def score_live(
        self, connection: Connection, live: int, model_id: int, held_out: HeldOutT, options: OptionsT
    ) -> Metrics | None:
        """Measure the live model beside a new one; None where the two cannot be compared."""
        return self.score(connection, live, held_out, options, heldout_of=model_id)

    def overlap(self, options: OptionsT) -> dict[str, Any]:
        """Return the parameters of `overlap_query`: `k` and the like."""
        return {"k": options.top, "exclude_seen": None}  # type: ignore[attr-defined]

    def baselines(
        self, held_out: HeldOutT, options: OptionsT, *, all_of_them: bool, report: Report
    ) -> Mapping[str, Callable[[], Metrics]]:
        """Return what a model is compared with: names, and what fits and measures each.

        A training wants those of the gate; an evaluation wants all of them. A baseline raises TrainingDataError if it
        has too little to learn from.
        """
        return {}

    def verdict(self, metrics: Metrics, options: OptionsT) -> Verdict:
        """Decide whether a model is good enough to go live."""
        return better_than_all(metrics, self.metric_of(options))

    def metric_of(self, options: OptionsT) -> str:
        """Return the name of the metric that decides."""
        return self.metric.format(top=getattr(options, "top", None))

    def facts(self, connection: Connection, data: DataT) -> dict[str, Any]:
        """Return what is stored of the data; `drift` reads `rows` and `newest` again."""
        return {"rows": self.count_rows(connection), "newest": self.newest_moment(connection)}

    @abstractmethod
    def held_out_of(self, connection: Connection, model_id: int, options: OptionsT) -> HeldOutT:
        """Return what a model was measured on; raises TrainingDataError if nothing of it is left."""

    def rows(self, metrics: Metrics) -> Mapping[str, Metrics]:
        """Return the rows of an evaluation by what answers."""
        return {self.answer: metrics}

    # ---- what all tasks have in common ----

    def count_rows(self, connection: Connection, *, after: str | None = None) -> int:
        """Return how many rows there are to learn from; `after`: only those since then."""
        query = compose.SQL("select count(*) from {} e").format(self._view(connection))
        if after is not None:
            query += compose.SQL(" where e.local_at > {}::timestamp and {}").format(compose.Literal(after), NOT_TO_COME)
        with db.guarded(connection):
            return int(connection.execute(query).fetchall()[0][0])

    def newest_moment(self, connection: Connection) -> str | None:
        """Return the local time of the newest event or order up to today; None without one. Items have no time."""
        view = self._view(connection)
        if view == compose.Identifier("aisle", "_items"):
            return None
        query = compose.SQL("select max(e.local_at)::text from {} e where {}").format(view, NOT_TO_COME)
        with db.guarded(connection):
            newest: str | None = connection.execute(query).fetchall()[0][0]
        return newest

    def drift(self, connection: Connection, model_id: int) -> Drift:
        """Return how far the rows have moved on since a model was trained."""
        rows, data = self.count_rows(connection), model_registry.get(connection, model_id).data
        then, newest = data.get("rows"), data.get("newest")
        if then is None:
            return Drift()
        came = 0 if newest is None else self.count_rows(connection, after=newest)
        # What is not later than the training was there then, or is gone, or has been added to the past.
        return Drift((came + abs(rows - came - then)) / max(then, 1))

    def options_of(self, model: model_registry.Model, **of_this_run: Any) -> OptionsT:
        """Return the options that a model was trained with."""
        return restore(self.options, {**model.parameters.get("options", {}), **of_this_run})  # type: ignore[no-any-return]

    def check_attached(self, connection: Connection) -> None:
        """Raise NotAttachedError where what the live model learned from is not attached any more."""
        self._view(connection)

    def _view(self, connection: Connection) -> compose.Identifier:
        view = self.source(connection)
        if not db.fetch_value(connection, "select to_regclass('aisle.' || %s) is not null", (view,)):
            raise errors.NotAttachedError(
                f"What the {self.name} model learned from is not attached any more.",
                hint="Attach it again: aisle attach --help",
            )
        return compose.Identifier("aisle", view)
