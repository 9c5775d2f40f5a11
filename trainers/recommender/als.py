"""Matrix factorisation in the form of the towers: a user's vector is a sum over the user's items.

iALS solves for a user's vector, x = (YᵀY + Σ_j (c_j - 1) y_j y_jᵀ + λI)⁻¹ Σ_j c_j y_j, from the vectors y_j of the
user's items, where c_j is α times the weight of the event (Hu et al., ICDM 2008, eq. 4). Among many items, those of one
user hardly change the matrix. Without the sum in the matrix, x is a sum over events of items' vectors:

    u = Σ_j p_j,   p_j = α (YᵀY + λI)⁻¹ y_j,   q_i = y_i

One more dimension, in which u is 1, orders equal scores by popularity. A new event or a new user counts at once, and
users have no vectors of their own. On few events its recall is better than the towers', on many the towers' is.
Validation chooses between them: trainers/recommender/fit.py.
"""

import itertools
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import sparse

from aisle.embedder.item_tower import ItemTower, prefixes
from aisle.trainers.recommender import baselines
from aisle.trainers.recommender.events import Events, Floats
from aisle.trainers.recommender.options import TowerOptions
from aisle.trainers.recommender.towers import ANY_LENGTH, Factors, Repeat, ones
from aisle.trainers.recommender.validation import validate

REGULARISATION, ALPHA = (10.0, 30.0, 100.0), (5.0, 20.0, 100.0)  # values of λ and α to try
FEW = 300_000  # events; on a million (Gowalla) the towers' recall is better, and the trials would take long
POPULARITY = 1e-6  # weight of the logarithm of an item's events: breaks ties, as without any history
RIDGE = 1.0  # of the regression of items' vectors on category and text


@dataclass(frozen=True)
class Setting:
    """The hyper-parameters that validation chooses."""

    regularisation: float  # λ
    alpha: float  # α
    repeat: Repeat = field(default_factory=Repeat)


def tune(events: Events, validation: Events, options: TowerOptions, seed: int) -> tuple[Setting, float]:
    """Try all settings; return the best, and its recall on the validation events, with repetition."""
    found = []
    for values in itertools.product(REGULARISATION, ALPHA):
        factors = fit(events, options, Setting(*values), seed)
        recall, repeat = validate(factors, events, validation, options, seed)
        found.append((Setting(*values, repeat), recall))
    return max(found, key=lambda one: one[1])


def fit(events: Events, options: TowerOptions, setting: Setting, seed: int) -> Factors:
    """Fit on `events`; same seed and machine, same factors. Raises MissingExtraError without implicit.

    In a history, an event of weight 0 counts as one of weight 1; an item with no other events is not recommended.
    """
    known = events.with_neighbourhoods()
    known = replace(known, weight=np.where(known.weight > 0, known.weight, 1).astype(np.float32))
    d = options.dimensions * options.members
    model = baselines.ImplicitAls(d, setting.regularisation, setting.alpha, seed=seed).fit(known)
    y = model.item_vectors.astype(np.float64)
    p = setting.alpha * np.linalg.solve(y.T @ y + setting.regularisation * np.eye(d), y.T).T
    counts = np.bincount(events.item, events.weight > 0, minlength=len(y))
    longest = int(np.bincount(events.user, minlength=1).max(initial=1))
    into, out = (np.zeros((len(y), d + 1), dtype=np.float32) for _ in range(2))
    into[:, :d], out[:, :d] = p, y * (counts > 0)[:, None]
    out[:, d] = POPULARITY * np.log1p(counts)
    constant = np.zeros(d + 1, dtype=np.float32)
    constant[d] = 1
    return Factors(
        constant=constant,
        users=np.zeros((len(events.user_ids), d + 1), dtype=np.float32),
        into=into,
        out=out,
        context={},
        context_values={},
        recency=np.ones(options.history or min(longest, ANY_LENGTH), dtype=np.float32),
        exponent=0.0,
        popularity=0.0,
        repeat=setting.repeat,
        distinct=options.exclude_seen,
        towers=[_content(events, options, into[:, :d], out)],
        epochs_run=model.iterations,
        validation=(),
        learned=(),
        kind="ials",
    )


def _content(events: Events, options: TowerOptions, into: Floats, out: Floats) -> ItemTower:
    """Return the vectors of items without events: a ridge regression on category and text."""
    from sklearn.linear_model import Ridge

    items, d = events.items, into.shape[1]
    paths = items.categories if "category" in options.features else [None] * len(items)
    names = sorted({prefix for path in paths for prefix in prefixes(path)})
    rows = {name: row for row, name in enumerate(names)}
    texts = items.texts if items.texts is not None and "text" in options.features else np.zeros((len(items), 0))
    filed = ones([[rows[prefix] for prefix in prefixes(path)] for path in paths], len(names))
    known = np.unique(events.item)
    what = sparse.csr_array(sparse.hstack([filed, sparse.csr_array(texts)]))[known]
    wanted = np.concatenate([into, out], axis=1)[known]  # (known items, 2d + 1)
    learned = np.zeros((len(names) + texts.shape[1], wanted.shape[1]), dtype=np.float32)
    if len(learned):
        ridge = Ridge(RIDGE, fit_intercept=False, solver="sparse_cg").fit(sparse.csr_matrix(what), wanted)
        learned = np.asarray(ridge.coef_.T, dtype=np.float32)
    linear = learned[len(names) :].T  # (2d + 1, text dimensions)
    tower = ItemTower(d, cosine=False, names=names, categories=learned[: len(names)], text=())
    if not texts.shape[1]:
        return tower
    # The tower has a ReLU between its layers: max(x, 0) - max(-x, 0) = x.
    identity = np.eye(len(linear), dtype=np.float32)
    first, second = np.concatenate([linear, -linear]), np.hstack([identity, -identity])
    return replace(tower, text=(first, np.zeros(len(first), dtype=np.float32), second))
