"""Options of the basket model."""

from dataclasses import dataclass, field
from typing import ClassVar

from aisle.trainers.options import TaskOptions, of_one_run, option

NETWORKS = ("cnn-gru", "attention-gru")
LOSSES = ("softmax", "bce")


@dataclass(frozen=True)
class NetworkOptions:
    """Hyper-parameters of the networks."""

    # The network. `Options.model` sets the model.
    model: str = option(NETWORKS[0], "Network to try.", choices=NETWORKS, used_in="experiment")
    # Of a product's vector, and of a state without its last component.
    dimensions: int = option(64, "Embedding dimensions of products and customers.", at_least=1)
    n_orders: int = option(50, "Number of a customer's last orders that the network reads.", at_least=1)
    hidden: int = option(128, "Number of units of the order encoder and of the GRU.", at_least=1)
    kernel: int = option(3, "Number of products in the convolution's kernel.", at_least=1, used_in="grid")
    heads: int = option(4, "Number of attention heads.", at_least=1)
    layers: int = option(1, "Number of attention layers.", at_least=1)
    # With memory, the state is the GRU's output plus a weighted sum of memory vectors of the bought products.
    memory: bool = option(True, "Remember the bought products.", used_in="grid")
    # That sum is divided by the number of products to this power.
    exponent: float = option(0.5, "Exponent of the number of remembered products.", at_least=0, used_in="grid")
    # The loss. 'softmax' is over all products, and an order's products are equal shares of 1. 'bce' is a yes or no for
    # each product. 'softmax' ranks better. Only with 'bce' is the logit minus log(pos_weight) that of a probability.
    loss: str = option("softmax", "Loss of the network.", choices=LOSSES, shown="softmax; in experiments: bce")
    pos_weight: float = option(1.0, "Weight of a bought product with --loss bce.", above=0, used_in="train")
    # Training.
    product_epochs: int = option(
        10, "Number of epochs of the autoencoder; 0 starts at random.", at_least=0, used_in="grid"
    )
    epochs: int = option(4, "Largest number of passes over the orders.", at_least=1)
    # Of the last fit, on all rows: validation found this number best.
    stop_after: int | None = option(None, "Number of epochs.", at_least=1, used_in="grid")
    batch_size: int = option(64, "Number of customers in a training step.", at_least=1)
    learning_rate: float = option(0.003, "Peak learning rate of the network.", above=0)
    # Of products' vectors, orders' encodings and the GRU's outputs.
    dropout: float = option(0.3, "Dropout of the network.", at_least=0, below=1)
    memory_dropout: float = option(0.5, "Dropout of the memory.", at_least=0, below=1, used_in="grid")
    # Products in a step's loss besides the targets. None: all, unless there are too many.
    negatives: int | None = option(None, "Number of products drawn at each step.", at_least=1, used_in="grid")
    # Early stopping.
    patience: int = option(2, "Number of epochs without improvement before training stops.", at_least=1, used_in="grid")
    evaluate_at: int = option(10, "k of the validation's recall@k.", at_least=1, used_in="grid")


@dataclass(frozen=True, kw_only=True)
class Options(TaskOptions):
    """Train the basket model on orders."""

    model: str = option(
        "taste", "Source of a customer's vector: a weighted sum of the vectors of bought products (taste), or a "
        "network over the orders.",
        choices=("taste", *NETWORKS), used_in="train",
    )  # fmt: skip
    test_share: float = option(0.2, "Share of customers whose last order is held out.", above=0, at_most=1)
    test_customers: frozenset[str] | None = of_one_run(None)  # hold out these customers' last orders instead
    neighbours: int = option(200, "Number of similar customers.", at_least=1, at_most=1000)
    nearest: int = 100  # candidates from neighbours, and by the customer's vector
    text_vectors: bool = option(
        False, "Start products' vectors from the vectors of their texts; needs a category model."
    )
    network: NetworkOptions = field(default_factory=NetworkOptions)
    top: int = option(10, "k of recall@k and the other metrics.", at_least=1)
    deploy: bool | None = of_one_run(
        None,
        "Make the model live.",
        used_in="train",
        shown="if it beats the live model, the customer's own frequencies and TIFU-KNN",
    )

    place: ClassVar[int] = 3
    rows_held_out: ClassVar[str] = "held-out orders"
    question: ClassVar[str] = "aisle next-basket USER"
    metrics: ClassVar[tuple[str, ...]] = ("recall@{top}", "ndcg@{top}", "phr@{top}", "f1@{top}")


# A threshold needs probabilities, and only the loss 'bce' gives these.
IN_EXPERIMENTS = Options(network=NetworkOptions(loss="bce"))
