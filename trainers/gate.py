"""Decides whether a new model goes live: it must beat the live model and the baselines on held-out data."""

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


def beats_all(metrics: dict[str, Any], name: str) -> tuple[bool, str]:
    """Return whether a model's metric beats those of all nested entries of `metrics`, and the reason.

    If a rival was measured on other rows, its entry `against` has the model's metrics on these rows.
    """
    rivals = {other: m for other, m in metrics.items() if isinstance(m, dict) and name in m}

    def ours(other: str) -> float:
        return float(rivals[other].get("against", metrics)[name])

    best = max(rivals, key=lambda other: rivals[other][name] - ours(other))
    theirs = rivals[best][name]
    is_better = ours(best) > theirs
    where = " on rows that neither learned from" if "against" in rivals[best] else ""
    rival = "the live model" if best == "live" else best
    return is_better, (
        f"its {name} {ours(best):.4f}{where} is {'' if is_better else 'not '}better than that of {rival}, {theirs:.4f}"
    )
