"""Options of the basket model."""

from dataclasses import dataclass, field
from typing import ClassVar

from aisle.trainers.options import TaskOptions, of_one_run, option

NETWORKS = ("cnn-gru", "attention-gru")
LOSSES = ("softmax", "bce")


@dataclass(frozen=True)
class NetworkOptions:
    """Hyper-parameters of the networks."""

    # The model. The option of this name sets it.
    model: str = option(NETWORKS[0], "Order encoder.", choices=NETWORKS, used_in="grid")
    # Of a product's vector, and of a state without its last component.
    dimensions: int = option(64, "Embedding dimensions of products and customers.", at_least=1)
    n_orders: int = option(50, "Number of a customer's last orders that the network reads.", at_least=1)
    hidden: int = option(128, "Units of the order encoder and of the GRU.", at_least=1)
    kernel: int = option(3, "Products that the convolution sees at once.", at_least=1, used_in="grid")
    heads: int = option(4, "Attention heads.", at_least=1)
    layers: int = option(1, "Attention layers.", at_least=1)
    # Without the memory of bought products, the state is the GRU's alone.
    memory: bool = option(True, "Remember the products that were bought.", used_in="grid")
    # Exponent of the number of remembered products, the divisor of their sum.
    exponent: float = option(0.5, "Exponent of the memory's length.", at_least=0, used_in="grid")
    # The targets. 'softmax': over all products, an order's products have equal shares of 1; it ranks better than 'bce',
    # a yes or no for each product. Only with 'bce' is the logit minus log(pos_weight) that of a probability.
    loss: str = option("softmax", "Loss of the network.", choices=LOSSES, shown="softmax; in experiments: bce")
    pos_weight: float = option(1.0, "Weight of a bought product with --loss bce.", above=0, used_in="train")
    # Training.
    product_epochs: int = option(10, "Epochs of the autoencoder; 0 starts at random.", at_least=0, used_in="grid")
    epochs: int = option(4, "Largest number of passes over the orders.", at_least=1)
    # The best number on validation, for the last fit on everything.
    stop_after: int | None = option(None, "Epochs.", at_least=1, used_in="grid")
    batch_size: int = option(64, "Customers a training step.", at_least=1)
    learning_rate: float = option(0.003, "Peak learning rate of the network.", above=0)
    # Of products' vectors, orders' encodings and the GRU's outputs.
    dropout: float = option(0.3, "Dropout of the network.", at_least=0, below=1)
    memory_dropout: float = option(0.5, "Share of the memory left out.", at_least=0, below=1, used_in="grid")
    # Sampled products in a step's loss beside targets. None: all, unless there are too many.
    negatives: int | None = option(None, "Products drawn a step.", at_least=1, used_in="grid")
    # Early stopping.
    patience: int = option(2, "Epochs without improvement.", at_least=1, used_in="grid")
    evaluate_at: int = option(10, "k of the validation's recall@k.", at_least=1, used_in="grid")


@dataclass(frozen=True, kw_only=True)
class Options(TaskOptions):
    """Train orders → the next order."""

    model: str = option(
        "taste", "Customer state: a weighted sum of the vectors of bought products, or a network over the "
        "orders.",
        choices=("taste", *NETWORKS),
    )  # fmt: skip
    test_share: float = option(0.2, "Share of the customers whose last order is held out.", above=0, at_most=1)
    test_customers: frozenset[str] | None = of_one_run(None)  # hold out these customers' last orders instead
    neighbours: int = option(200, "Number of similar customers.", at_least=1, at_most=1000)
    nearest: int = 100  # candidates from neighbours, and by state
    text_vectors: bool = option(
        False, "Start products' vectors from the vectors of their texts. This needs a category model."
    )
    network: NetworkOptions = field(default_factory=NetworkOptions)
    top: int = option(10, "k of recall@k and the other metrics.", at_least=1)
    deploy: bool | None = of_one_run(
        None, "Make the model live.", shown="if it beats the live model, the customer's own frequencies and TIFU-KNN"
    )

    rows_held_out: ClassVar[str] = "held-out orders"
    question: ClassVar[str] = "aisle next-basket USER"

    @property
    def shown(self) -> tuple[str, ...]:
        """The metrics that the command prints."""
        return tuple(f"{name}@{self.top}" for name in ("recall", "ndcg", "phr", "f1"))


# A threshold needs probabilities, and only 'bce' has these.
IN_EXPERIMENTS = Options(model=NETWORKS[0], network=NetworkOptions(loss="bce"))
