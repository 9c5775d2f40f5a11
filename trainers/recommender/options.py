"""Options of the recommender."""

from dataclasses import dataclass, field
from typing import ClassVar

from aisle.db import errors
from aisle.trainers.options import TaskOptions, names, of_one_run, option, seconds

LONGEST = 2000  # dimensions of a model; each member may need one for its bias
LONGEST_HISTORY = 1000  # events


@dataclass(frozen=True)
class TowerOptions:
    """Hyper-parameters of the towers."""

    # The networks.
    features: tuple[str, ...] = ("user", "item")  # of user, item, category, text, location, and context features
    # Of one member, without the bias.
    dimensions: int = option(64, "Embedding dimensions.", at_least=1, at_most=LONGEST - 1)
    # The dot product of joined vectors is the sum of the members' dot products.
    members: int = option(1, "Number of models to train with different seeds; joins their vectors.", at_least=1)
    # None: all events, up to LONGEST_HISTORY.
    history: int | None = option(
        50, "Number of a user's last events in the history.", at_least=1, at_most=LONGEST_HISTORY
    )
    exponent: float = 0.5
    smoothing: int = option(
        1, "Rounds of item → users → items that the towers smooth an item's vectors over.", at_least=0
    )
    # One vector of an item is both p and q, up to q's length.
    tied: bool = option(False, "Give an item in the towers one vector, as part of a history and as an answer.")
    cosine: bool = True  # True: q and, in the loss, u have length 1, and there is no bias; False: dot products, a bias
    # The targets. 'time': earlier events predict each event; 'set': some of a user's events predict the others.
    order: str = option(
        "time", "Learn from sets of events, without their order. Held-out events are still the latest.",
        name="--unordered", is_flag=True, parse=lambda unordered: "set",
    )  # fmt: skip
    exclude_seen: bool = True  # recommendations leave out a user's own items, so these are no targets and no negatives
    # Training. The learning rate falls to 0 over the epochs.
    epochs: int = option(30, "Largest number of passes over the events.", at_least=1)
    stop_after: int | None = None  # epochs of the last fit, on all rows: validation found this number best
    batch_size: int = option(2048, "Number of events in a training step; of users with --unordered.", at_least=1)
    learning_rate: float = option(0.01, "Learning rate of Adam.")
    temperature: float = option(0.1, "Temperature of the towers' soft-max.", above=0)
    history_dropout: float = 0.5  # share of a history that a step leaves out ('set': it is the target)
    user_dropout: float = 0.1  # share of users that a step treats as unknown
    id_dropout: float = 0.2  # share of items that a step knows by category and text only, if these are features
    weight_decay: float = 0.0  # on users' and contexts' vectors
    user_weight: float = option(
        0.5, "Exponent: with --unordered, a user with k items to predict counts k to this power.", at_least=0
    )
    negatives: int | None = None  # items drawn at each step; None: all, unless there are too many
    spread: float = 0.1  # standard deviation of the vectors at the start
    # Early stopping.
    patience: int = 3  # evaluations without a better one
    evaluate_every: int = 1  # epochs
    evaluate_at: int = 10  # k of recall@k
    evaluated: int = 10_000  # queries, at most

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError for vectors that no index could hold."""
        if self.members * (self.dimensions + 1) > LONGEST:
            raise errors.InvalidArgumentError(
                f"{self.members} × ({self.dimensions} + 1) dimensions are too many; the limit is {LONGEST:,}.",
                hint="Lower --members or --dimensions.",
            )


@dataclass(frozen=True, kw_only=True)
class Options(TaskOptions):
    """Train the recommender on interactions or orders."""

    features: tuple[str, ...] | None = option(
        None, "Features to learn from, separated by commas: user, item, category, text, location, hour, weekday, "
        "meal_slot, and attached context columns.",
        shown="user,item and category, text and location if attached", parse=names, used_in="train",
    )  # fmt: skip
    model: str = option(
        "best", "Model to fit: links between items (item-item), two towers, matrix factorisation (ials), the weighted "
        "sum of links and vectors (mixture), or the best of these on validation rows. Only towers know contexts.",
        choices=("best", "item-item", "towers", "ials", "mixture"), used_in="train",
    )  # fmt: skip
    # With 'liked', the other events are still part of the history.
    liked_only: bool = option(
        False, "Events to predict: all events, or those that the user liked by rating or label.", name="--positives",
        choices=("all", "liked"), shown="all", parse="liked".__eq__,
    )  # fmt: skip
    repeats: bool = option(
        False, "Recommend items from the user's own history, too: for stores and other items that users return to."
    )
    # Seconds since 1970.
    test_from: float | None = of_one_run(
        None, "Moment from which on events of users with earlier events are held out.",
        shown="each user's last event is held out", parse=seconds, metavar="MOMENT",
    )  # fmt: skip
    validate_from: float | None = of_one_run(
        None, "Moment from which on events are validation rows.",
        shown="each user's last event before the held-out one", parse=seconds, metavar="MOMENT",
    )  # fmt: skip
    top: int = option(10, "k of recall@k and the other metrics.", at_least=1)
    towers: TowerOptions = field(default_factory=TowerOptions)
    deploy: bool | None = of_one_run(
        None, "Make the model live.", used_in="train",
        shown="if it beats the live model, popularity and the user's own history",
    )  # fmt: skip

    place: ClassVar[int] = 2
    rows_held_out: ClassVar[str] = "held-out users' items"
    question: ClassVar[str] = "aisle recommend USER"
    metrics: ClassVar[tuple[str, ...]] = ("recall@{top}", "hit@{top}", "ndcg@{top}")
