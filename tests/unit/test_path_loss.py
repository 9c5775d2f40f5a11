"""The loss of category paths; figures small enough to check in the head."""

import math

import pytest
import torch
from torch.nn import functional as F

from aisle.trainers.category.path_loss import PathLoss

PATHS = [["food", "bread"], ["food", "cake"], ["drink", "tea"]]


def test_an_ancestors_share_is_the_sum_of_its_leaves() -> None:
    loss = PathLoss(PATHS, label_smoothing=0.0)(torch.zeros(1, 3), torch.tensor([0]))
    assert loss.item() == pytest.approx(math.log(3) + math.log(3 / 2), abs=1e-5)  # bread 1/3, food 2/3


def test_a_sibling_costs_less_than_a_stranger() -> None:
    loss, bread = PathLoss(PATHS, label_smoothing=0.0), torch.tensor([0])
    cake, tea = torch.tensor([[0.0, 5.0, 0.0]]), torch.tensor([[0.0, 0.0, 5.0]])
    assert loss(cake, bread) < loss(tea, bread)
    assert F.cross_entropy(cake, bread) == F.cross_entropy(tea, bread)


@pytest.mark.parametrize(
    "paths", [[["a"], ["b"], ["c"]], [["all", "a"], ["all", "b"], ["all", "c"]]], ids=["names", "one root"]
)
def test_categories_without_ancestors_have_cross_entropy(paths: list[list[str]]) -> None:
    logits, labels = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 9.0]]), torch.tensor([1, 0])
    expected = F.cross_entropy(logits, labels, label_smoothing=0.1)
    assert PathLoss(paths, label_smoothing=0.1)(logits, labels) == expected


def test_paths_may_differ_in_length() -> None:
    paths = [["food"], ["food", "bread", "rye"], ["food", "bread", "wheat"], ["drink"]]
    loss = PathLoss(paths, label_smoothing=0.0)(torch.zeros(1, 4), torch.tensor([1]))
    # rye 1/4; below it food > bread 2/4, and food 3/4
    assert loss.item() == pytest.approx(math.log(4) + math.log(2) + math.log(4 / 3), abs=1e-5)


def test_shares_that_vanish_leave_the_loss_finite() -> None:
    logits = torch.tensor([[-200.0, -200.0, 200.0]], requires_grad=True)
    loss = PathLoss(PATHS, label_smoothing=0.0)(logits, torch.tensor([0]))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
