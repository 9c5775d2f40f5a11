"""The contract of a task, which training, evaluation, retraining, experiments and the command line use.

A task is a subclass in a folder of its own below `trainers/`, with its options; a row in `sql/tasks.sql`; the vector
tables that this row names, with their grants; and, if vectors are to follow the shop's rows, an embedder in
`embedder/worker.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from psycopg import sql as compose

from aisle import db
from aisle.db import Connection, errors, model_registry
from aisle.trainers.gate import Verdict, better_than_all
from aisle.trainers.options import TaskOptions, restore

NOT_TO_COME = compose.SQL("e.local_at < now()::timestamp + interval '1 day'")  # in any time zone of the shop

Report = Callable[[str], None]  # receives a line of progress
Metrics = dict[str, Any]

OptionsT = TypeVar("OptionsT", bound=TaskOptions)
DataT = TypeVar("DataT")  # the shop's data
HeldOutT = TypeVar("HeldOutT")  # the held-out part and the rest
FittedT = TypeVar("FittedT")


@dataclass(frozen=True)
class Drift:
    """How far the shop has drifted since a model was trained; None: not applicable or unknown."""

    new_rows: float | None = None  # share of rows added or removed; for items, also of rows changed
    mix: float | None = None  # share of items that must change category to restore the old mix
    confidence: float | None = None  # mean confidence on held-out items minus that on new items


class Task(ABC, Generic[OptionsT, DataT, HeldOutT, FittedT]):
    """A prediction that a model learns from the shop's data and SQL functions return."""

    name: ClassVar[str]
    options: ClassVar[type[Any]]
    answer: ClassVar[str]  # the SQL function, or the command, that is measured
    metric: ClassVar[str]  # the metric that the gate compares; `{top}` comes from the options
    overlap_query: ClassVar[str | None] = None  # queries two models alike; None: answers are not compared
    recall_query: ClassVar[str | None] = None  # compares an index with exact searches

    @abstractmethod
    def source(self, connection: Connection) -> str:
        """Return Aisle's view with the training rows, such as `_items`."""

    def settle(self, connection: Connection, options: OptionsT) -> OptionsT:
        """Fill in the options that depend on the shop, and return all of them. They are stored with the model."""
        return options

    @abstractmethod
    def read(self, connection: Connection, options: OptionsT, report: Report) -> DataT:
        """Read the training data; raises NotAttachedError, and TrainingDataError if there are too few rows."""

    def start(self, connection: Connection, data: DataT, options: OptionsT) -> Any:
        """Return the live model's weights for a warm start; raises NoLiveModelError and WarmStartError."""
        raise errors.WarmStartError(f"A {self.name} model stores no weights for a warm start.")

    @abstractmethod
    def split(self, data: DataT, options: OptionsT, start: Any = None) -> HeldOutT:
        """Hold out the rows that measure the model; raises TrainingDataError if either part would be empty."""

    @abstractmethod
    def describe(self, data: DataT, held_out: HeldOutT) -> str:
        """Return a sentence with the size of the data."""

    @abstractmethod
    def fit(
        self, connection: Connection, data: DataT, held_out: HeldOutT, options: OptionsT, report: Report,
        start: Any = None,
    ) -> FittedT:  # fmt: skip
        """Fit a model to the rows that are not held out."""

    @abstractmethod
    def load(
        self, connection: Connection, data: DataT, held_out: HeldOutT, fitted: FittedT, options: OptionsT,
        parameters: Mapping[str, Any],
    ) -> int:  # fmt: skip
        """Register the model with these parameters and its own, copy its rows and files, and return its id."""

    @abstractmethod
    def score(
        self, connection: Connection, model_id: int, held_out: HeldOutT, options: OptionsT, *, heldout_of: int
    ) -> Metrics:
        """Query a model, through SQL, for the held-out rows of model `heldout_of`; return the metrics."""

    def measure(
        self, connection: Connection, model_id: int, held_out: HeldOutT, fitted: FittedT, options: OptionsT,
        live: int | None,
    ) -> Metrics:  # fmt: skip
        """Measure a new model on its held-out rows, through SQL."""
        return self.score(connection, model_id, held_out, options, heldout_of=model_id)

    def score_live(
        self, connection: Connection, live: int, model_id: int, held_out: HeldOutT, options: OptionsT
    ) -> Metrics | None:
        """Measure the live model on a new one's held-out rows; None if the two cannot be compared."""
        return self.score(connection, live, held_out, options, heldout_of=model_id)

    def overlap(self, options: OptionsT) -> dict[str, Any]:
        """Return the parameters of `overlap_query`: `k` and the like."""
        return {"k": options.top, "exclude_seen": None}  # type: ignore[attr-defined]

    def baselines(
        self, held_out: HeldOutT, options: OptionsT, *, all_of_them: bool, report: Report
    ) -> Mapping[str, Callable[[], Metrics]]:
        """Return the baselines: name → a function that fits and measures one.

        Training needs those of the gate; an evaluation needs all. A baseline raises TrainingDataError if it has too
        little data.
        """
        return {}

    def verdict(self, metrics: Metrics, options: OptionsT) -> Verdict:
        """Decide whether a model is good enough to go live."""
        return better_than_all(metrics, self.metric_of(options))

    def metric_of(self, options: OptionsT) -> str:
        """Return the name of the metric that the gate compares."""
        return self.metric.format(top=getattr(options, "top", None))

    def facts(self, connection: Connection, data: DataT) -> dict[str, Any]:
        """Return the facts about the data to store; `drift` compares `rows` and `newest` later."""
        return {"rows": self.count_rows(connection), "newest": self.newest_moment(connection)}

    @abstractmethod
    def held_out_of(
        self, connection: Connection, model_id: int, options: OptionsT, *, for_baselines: bool
    ) -> HeldOutT | None:
        """Return the rows that a model was measured on; raises TrainingDataError if none of them is left.

        None where `score` needs nothing of them, and no baseline is to be measured.
        """

    def rows(self, metrics: Metrics) -> Mapping[str, Metrics]:
        """Return the rows of an evaluation: the function that answers → its metrics."""
        return {self.answer: metrics}

    # ---- common to all tasks ----

    def count_rows(self, connection: Connection, *, after: str | None = None) -> int:
        """Return the number of training rows; `after`: only later ones."""
        query = compose.SQL("select count(*) from {} e").format(self._view(connection))
        if after is not None:
            query += compose.SQL(" where e.local_at > {}::timestamp and {}").format(compose.Literal(after), NOT_TO_COME)
        with db.guarded(connection):
            return int(connection.execute(query).fetchall()[0][0])

    def newest_moment(self, connection: Connection) -> str | None:
        """Return the local time of the newest event or order that is not in the future; None: there are none."""
        view = self._view(connection)
        if view == compose.Identifier("aisle", "_items"):  # items have no time
            return None
        query = compose.SQL("select max(e.local_at)::text from {} e where {}").format(view, NOT_TO_COME)
        with db.guarded(connection):
            newest: str | None = connection.execute(query).fetchall()[0][0]
        return newest

    def drift(self, connection: Connection, model_id: int) -> Drift:
        """Return how far the rows have drifted since a model was trained."""
        rows, data = self.count_rows(connection), model_registry.get(connection, model_id).data
        then, newest = data.get("rows"), data.get("newest")
        if then is None:
            return Drift()
        came = 0 if newest is None else self.count_rows(connection, after=newest)
        # Of the earlier rows, a difference in number means that some were removed, or added with a past date.
        return Drift((came + abs(rows - came - then)) / max(then, 1))

    def options_of(self, model: model_registry.Model, **of_this_run: Any) -> OptionsT:
        """Return the options that a model was trained with."""
        return restore(self.options, {**model.parameters.get("options", {}), **of_this_run})  # type: ignore[no-any-return]

    def check_attached(self, connection: Connection) -> None:
        """Raise NotAttachedError if the tables that the live model learned from are no longer attached."""
        self._view(connection)

    def _view(self, connection: Connection) -> compose.Identifier:
        view = self.source(connection)
        if not db.fetch_value(connection, "select to_regclass('aisle.' || %s) is not null", (view,)):
            raise errors.NotAttachedError(
                f"The table that the {self.name} model learned from is no longer attached.",
                hint="Attach it again: aisle attach --help",
            )
        return compose.Identifier("aisle", view)
