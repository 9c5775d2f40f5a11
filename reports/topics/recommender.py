"""The page on a recommender: its metrics beside its rivals', experiments, validation."""

from functools import partial

from aisle.db import Connection
from aisle.reports import figures, pages
from aisle.reports.pages import Figure, Section, Table, with_spread

NO_EXPERIMENT = (
    "No experiment has been run: aisle experiment recommender --features user,item --features user,item,text"
)


def read(connection: Connection, model: pages.Model) -> pages.Page:
    """Read the page on a model."""
    return pages.of_model(
        connection,
        model,
        [
            Section("Metrics", comparison(model, "users", "event")),
            Section("Experiments", _experiments(connection)),
            Section("Validation", _validation(model)),
        ],
    )


def comparison(model: pages.Model, who: str, what: str) -> list[str | Figure | Table]:
    """Return the metrics of a model and of its rivals on the same held-out users or customers."""
    measured = pages.measures(model)
    if model.name not in measured:
        return [f"No metrics are stored: aisle evaluate {model.task}"]
    top = model.options.get("top", 10)
    name = f"recall@{top}"
    metrics = sorted(measured[model.name], key=lambda metric: metric != name)  # recall first
    best = sorted(measured, key=lambda other: -measured[other].get(name, 0.0))
    rows = [model.name, *(other for other in best if other != model.name)]
    held_out = model.metrics.get(who)
    return [
        *([f"The last {what} of {held_out:,} {who} was held out, and predicted through SQL."] if held_out else []),
        Figure(
            f"{name} on the held-out {who}",
            partial(figures.bars, best, [measured[b].get(name, 0.0) for b in best], ours=[model.name]),
        ),
        Table(
            ("", *(metric.removesuffix(f"@{top}") for metric in metrics)),
            [(other, *(measured[other].get(metric) for metric in metrics)) for other in rows],
            f"Of the first {top}",
        ),
        *([] if len(measured) > 1 else [f"To compare with baselines: aisle evaluate {model.task} --baseline"]),
    ]


def _experiments(connection: Connection) -> list[str | Figure | Table]:
    rows = connection.execute(
        "select experiment_id, measure, users, created_at, features, mean, sd, difference, p, verdict "
        "from aisle.experiments where task = 'recommender'"
    ).fetchall()
    if not rows:
        return [NO_EXPERIMENT]
    parts: list[str | Figure | Table] = [
        "Mean and standard deviation over seeds; p by a paired bootstrap over users, against the first set of features."
    ]
    for experiment_id in sorted({row[0] for row in rows}, reverse=True):
        arms = [row[1:] for row in rows if row[0] == experiment_id]
        measure, users, created_at = arms[0][:3]
        labels = [_features(arm[3]) for arm in arms]
        title = f"Experiment {experiment_id}: {measure} on {users:,} users, {created_at:%Y-%m-%d}"
        parts += [
            Figure(
                title, partial(figures.intervals, labels, [arm[4] for arm in arms], [arm[5] for arm in arms], measure)
            ),
            Table(
                ("features", measure, "difference", "p", "verdict"),
                [
                    (label, with_spread(arm[4], arm[5]), arm[6], arm[7], arm[8])
                    for label, arm in zip(labels, arms, strict=True)
                ],
            ),
        ]
    return parts


def _features(text: str) -> str:
    """Return an arm's features as on the command line; they are stored as a JSON array."""
    return text.strip("[]").replace('"', "").replace(", ", ",") if text.startswith("[") else text


def _validation(model: pages.Model) -> list[str | Figure | Table]:
    recalls, tried = model.parameters.get("validation"), model.parameters.get("tried", {})
    parts: list[str | Figure | Table] = []
    if tried:
        parts.append(_tried(tried, model.parameters.get("ahead", {}), model.parameters["kind"]))
    if recalls:
        every, k = model.options.get("towers", {}).get("evaluate_every", 1), model.options.get("top", 10)
        epochs = [every * (place + 1) for place in range(len(recalls))]
        parts.append(
            Figure(
                f"Recall@{k} on validation users; the dashed line is the chosen epoch",
                partial(figures.curve, epochs, recalls, "epoch", f"recall@{k}", chosen=model.parameters.get("epochs")),
            )
        )
    return parts or ["No validation is stored; train a new model to store it."]


def _tried(tried: dict[str, float], ahead: dict[str, list[float]], chosen: str) -> Table:
    """Return the kinds of model that were candidates, and what the chosen one is ahead of each by."""
    rows = [
        (kind, recall, "{:+.4f} ({:+.4f} – {:+.4f})".format(*ahead[kind]) if kind in ahead else "")
        for kind, recall in tried.items()
    ]
    columns = ("kind of model", "recall on validation users", "the chosen one is ahead by (95 % interval)")
    return Table(columns, rows, f"Kinds tried; {chosen} was chosen")
