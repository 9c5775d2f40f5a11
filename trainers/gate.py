"""Decides whether a new model goes live: it must beat the live model and the baselines on held-out data."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """The gate's decision on a model."""

    passed: bool | None  # whether it beat all that it was compared with; None: there was nothing
    reason: str
    deploys: bool  # whether it goes live by default


def better_than_all(metrics: dict[str, Any], name: str) -> Verdict:
    """Let a model go live if its metric beats the live model's and every baseline's."""
    passed, reason = beats_all(metrics, name)
    return Verdict(passed, reason, passed)


def beats_all(metrics: dict[str, Any], name: str, ties: Collection[str] = ()) -> tuple[bool, str]:
    """Return whether a model's metric beats those of all nested entries of `metrics`, and the reason.

    If a rival was measured on other rows, its entry `against` has the model's metrics on these rows. Beside a rival of
    `ties`, a simple model, it is enough to be as good: not worse by more than a standard error of the metric, which is
    a share of `held_out_rows`.
    """
    rivals = {other: m for other, m in metrics.items() if isinstance(m, dict) and name in m}

    def ours(other: str) -> float:
        return float(rivals[other].get("against", metrics)[name])

    def lead(other: str) -> float:
        theirs = float(rivals[other][name])
        noise = math.sqrt(theirs * (1 - theirs) / rivals[other]["held_out_rows"]) if other in ties else 0.0
        return ours(other) - theirs + noise

    best = min(rivals, key=lead)
    theirs = rivals[best][name]
    is_better = lead(best) > 0
    is_tie = is_better and ours(best) <= theirs
    where = " on rows that neither learned from" if "against" in rivals[best] else ""
    rival = "the live model" if best == "live" else best
    return is_better, (
        f"its {name} {ours(best):.4f}{where} is "
        f"{'as good as' if is_tie else 'better than' if is_better else 'not better than'} that of {rival}, {theirs:.4f}"
    )
