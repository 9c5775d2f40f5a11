"""Options of the recommender."""

from dataclasses import dataclass, field
from typing import ClassVar

from aisle.db import errors
from aisle.trainers.options import TaskOptions, names, of_one_run, option, seconds

LONGEST = 2000  # dimensions of a model; each member may need one more
LONGEST_HISTORY = 1000  # events


@dataclass(frozen=True)
class TowerOptions:
    """Hyper-parameters of the towers."""

    # The model.
    features: tuple[str, ...] = ("user", "item")  # of user, item, category, text, location, and context features
    # Dimensions of one member, without the bias.
    dimensions: int = option(64, "Embedding dimensions.", at_least=1, at_most=LONGEST - 1)
    # The members' dot products are added.
    members: int = option(1, "Train this many models with different seeds, and join their vectors.", at_least=1)
    # None: all, up to LONGEST_HISTORY.
    history: int | None = option(50, "Number of a user's last events that count.", at_least=1, at_most=LONGEST_HISTORY)
    exponent: float = 0.5
    smoothing: int = 1  # rounds of smoothing an item's vectors, item → users → items
    tied: bool = False  # an item has one vector for both p and q, up to q's length
    cosine: bool = True  # unit q, and unit u in the loss: no bias; False: plain dot products and a bias
    # The targets. 'time': earlier events predict each event; 'set': some of a user's events predict the others.
    order: str = option(
        "time", "Learn from sets of events, without their order. Held-out events still go by time.", name="--unordered",
        is_flag=True, parse=lambda unordered: "set",
    )  # fmt: skip
    exclude_seen: bool = True  # a user's own items are not recommended, so they are neither targets nor negatives
    # Training. The learning rate falls to 0 over the epochs.
    epochs: int = option(30, "Largest number of passes over the events.", at_least=1)
    stop_after: int | None = None  # epochs; the best on validation, for the last fit on everything
    batch_size: int = option(2048, "Events a training step, or users with --unordered.", at_least=1)
    learning_rate: float = option(0.01, "Learning rate of Adam.")
    temperature: float = 0.1
    history_dropout: float = 0.5  # share of a history that is left out ('set': the target)
    user_dropout: float = 0.1  # share of users treated as unknown
    id_dropout: float = 0.2  # share of items without their id, if there are category or text features
    weight_decay: float = 0.0  # on users' and contexts' vectors
    user_weight: float = 0.5  # 'set': a user with k targets counts k^user_weight
    negatives: int | None = None  # sampled items a step; None: all, unless there are too many
    spread: float = 0.1  # standard deviation of the initial vectors
    # Early stopping.
    patience: int = 3  # evaluations without improvement
    evaluate_every: int = 1  # epochs
    evaluate_at: int = 10  # k of recall@k
    evaluated: int = 10_000  # queries, at most

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError for vectors too long for an index."""
        if self.members * (self.dimensions + 1) > LONGEST:
            raise errors.InvalidArgumentError(
                f"{self.members} × ({self.dimensions} + 1) dimensions are too many; the limit is {LONGEST:,}.",
                hint="Lower --members or --dimensions.",
            )


@dataclass(frozen=True, kw_only=True)
class Options(TaskOptions):
    """Train user → items."""

    features: tuple[str, ...] | None = option(
        None, "Features to learn from, separated by commas: user, item, category, text, location, hour, weekday, "
        "meal_slot, and attached context columns.",
        shown="user,item and, where there are any, category, text and location", parse=names, used_in="train",
    )  # fmt: skip
    model: str = option(
        "best", "Model to fit: two towers, a matrix factorisation (which has no contexts), or the better of the two on "
        "validation data.",
        choices=("best", "towers", "ials"), used_in="train",
    )  # fmt: skip
    # With liked events as targets, the others stay in the histories.
    liked_only: bool = option(
        False, "Events to predict: all, or those that the user liked, by rating or label.", name="--positives",
        choices=("all", "liked"), shown="all", parse="liked".__eq__,
    )  # fmt: skip
    repeats: bool = option(
        False, "Recommend items that the user knows, too: for stores and other items that users return to."
    )
    # Seconds since 1970.
    test_from: float | None = option(
        None, "Hold out the events from this moment on, of users who have earlier ones.",
        shown="each user's last event", parse=seconds, metavar="MOMENT",
    )  # fmt: skip
    validate_from: float | None = option(
        None, "Validate on the events from this moment on.",
        shown="each user's last event but the held-out ones", parse=seconds,
        metavar="MOMENT",
    )  # fmt: skip
    top: int = option(10, "k of recall@k and the other metrics.", at_least=1)
    towers: TowerOptions = field(default_factory=TowerOptions)
    deploy: bool | None = of_one_run(
        None, "Make the model live.", shown="if it beats the live model and the baselines; the first model: if it "
        "beats popularity and the user's own history",
    )  # fmt: skip

    rows_held_out: ClassVar[str] = "held-out users' items"
    question: ClassVar[str] = "aisle recommend USER"

    @property
    def shown(self) -> tuple[str, ...]:
        """The metrics that the command prints."""
        return tuple(f"{name}@{self.top}" for name in ("recall", "hit", "ndcg"))
