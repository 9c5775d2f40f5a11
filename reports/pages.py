"""The elements of a page, the facts of every model, and the rendering as HTML."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup
from psycopg.rows import class_row

from aisle import db
from aisle.db import Connection, errors, model_registry
from aisle.reports import korean

MOST_CHARACTERS = 300  # of a cell; a product's name may be a megabyte


@dataclass(frozen=True)
class Figure:
    """A figure; it is drawn when the page is rendered."""

    title: str
    draw: Callable[[], str]  # returns an <svg> element


@dataclass(frozen=True)
class Table:
    """Rows with a heading; a value that is not a number is text."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    title: str = ""

    def is_number(self, column: int) -> bool:
        """Return whether a column, counted from 0, has numbers."""
        return any(is_number(row[column]) for row in self.rows)


@dataclass(frozen=True)
class Section:
    """A heading and its parts; a text is a paragraph."""

    title: str
    parts: Sequence[str | Figure | Table]


@dataclass(frozen=True)
class Page:
    """A report."""

    title: str
    facts: Mapping[str, Any]  # at the top
    sections: Sequence[Section]
    read_at: datetime


@dataclass(frozen=True)
class Model(model_registry.Model):
    """A row of aisle.models."""

    environment: dict[str, Any]
    created_at: datetime
    deployed_at: datetime | None
    verdict: str | None

    @property
    def options(self) -> dict[str, Any]:
        """The options of the training."""
        return self.parameters.get("options", {})  # type: ignore[no-any-return]

    @property
    def name(self) -> str:
        """The model's name in tables and figures."""
        return f"model {self.model_id}"


def find_model(connection: Connection, task: str, model_id: int | None) -> Model:
    """Return a model of the task, by default the live one; raises NoLiveModelError and ModelStateError."""
    if model_id is None:
        model_id = model_registry.require_live(connection, task)
    with connection.cursor(row_factory=class_row(Model)) as cursor:
        model = cursor.execute(
            "select model_id, task, state, encoder, dimensions, metrics, parameters, data, environment, created_at, "
            "deployed_at, verdict from aisle.models where model_id = %s",
            (model_id,),
        ).fetchone()
    if model is None:
        raise errors.ModelStateError(f"There is no model {model_id}.")
    if model.task != task:
        raise errors.ModelStateError(f"Model {model_id} is one of {model.task}, not of {task}.")
    return model


def of_model(connection: Connection, model: Model, sections: Sequence[Section]) -> Page:
    """Return the page on a model: its facts, the sections, and the training."""
    facts = {
        "model": model.model_id,
        "task": model.task,
        "state": model.state,
        "trained": model.created_at,
        "answers since": model.deployed_at,
        "verdict": model.verdict,
        "encoder": model.encoder,
        "dimensions": model.dimensions,
        "seconds of training": model.environment.get("seconds"),
        **{name: value for name, value in model.data.items() if isinstance(value, int)},
    }
    parts: list[str | Figure | Table] = [
        Table(("", ""), list(flatten(values)), title)
        for title, values in (
            ("Data", model.data),
            ("Environment", model.environment),
            ("Options", model.options),
            ("Parameters", {name: value for name, value in model.parameters.items() if name != "options"}),
        )
        if values
    ]
    trained = Section("How it was trained", parts or ["No details are stored."])
    return Page(
        f"{model.task.capitalize()}: {model.name}",
        {name: value for name, value in facts.items() if value is not None},
        [*sections, trained],
        now(connection),
    )


def now(connection: Connection) -> datetime:
    """Return the time by the database's clock."""
    return db.fetch_value(connection, "select aisle._now()")  # type: ignore[no-any-return]


def measures(model: Model) -> dict[str, dict[str, float]]:
    """Return the metrics of the model and of its rivals, by name."""
    name = f"recall@{model.options.get('top', 10)}"
    beside = {rival(who, m): m for who, m in model.metrics.items() if isinstance(m, dict) and name in m}
    own = {metric: model.metrics[metric] for metric in next(iter(beside.values()), {}) if metric in model.metrics}
    own = own or {metric: value for metric, value in model.metrics.items() if "@" in metric and is_number(value)}
    return ({model.name: own} if own else {}) | beside


def rival(who: str, metrics: Mapping[str, Any]) -> str:
    """Return a rival's name in tables and figures."""
    if who != "live":
        return who
    return f"model {metrics['model_id']}, live before" if "model_id" in metrics else "live before"


def is_number(value: Any) -> bool:
    """Return whether a value is shown as a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def flatten(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield name and value, as it is stored, of everything in nested JSON: {"a": {"b": 1}} has the name `a.b`."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{path}{name}.")
        else:
            yield path + name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def render(page: Page, language: str = "en") -> str:
    """Draw the figures, and return the page as HTML, with the shop's texts escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"cell": cell, "draw": lambda figure: Markup(figure.draw())}  # noqa: S704 - figures escapes
    environment.tests |= {
        "figure": lambda part: isinstance(part, Figure),
        "table": lambda part: isinstance(part, Table),
    }
    text = files("aisle.reports").joinpath("page.html.jinja").read_text(encoding="utf-8")
    written = environment.from_string(text).render(page=page, version=version("aisle"))
    return korean.page(written) if language == "ko" else written


def cell(value: Any) -> str:
    """Return a value formatted for people."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4f}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M %Z}"
        case timedelta():
            return str(timedelta(seconds=round(value.total_seconds())))
        case list() | tuple():
            return clip("; ".join(map(cell, value)))
    return clip(str(value))


def clip(text: str, characters: int = MOST_CHARACTERS) -> str:
    """Return a text on one line, of at most this length."""
    text = " ".join(text[: 2 * characters].split())
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def with_spread(mean: float | None, sd: float | None) -> str:
    """Return a mean over seeds with its standard deviation; one seed has none."""
    if mean is None:
        return ""
    return f"{mean:.4f}" if sd is None else f"{mean:.4f} ± {sd:.4f}"
