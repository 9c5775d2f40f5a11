"""The loss for category paths: the model also learns a leaf's ancestors, as sums over their leaves.

It is the leaf's cross-entropy + ANCESTOR_WEIGHT · Σ_levels −log Σ_{leaves under the level's ancestor} share(leaf).
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

ANCESTOR_WEIGHT = 1.0  # of each level above the leaves
LEAST_SHARE = 1e-7  # below it, only the leaf's own term has a gradient


class PathLoss(nn.Module):
    """Cross-entropy over leaves and over their ancestors; without paths, plain cross-entropy."""

    def __init__(self, paths: Sequence[Sequence[str]], label_smoothing: float) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.levels = 0
        for depth in range(1, max(map(len, paths))):
            ancestors = [tuple(path[:depth]) for path in paths]
            distinct = sorted(set(ancestors))
            if 1 < len(distinct) < len(paths):
                place = torch.tensor([distinct.index(ancestor) for ancestor in ancestors])  # (categories,)
                self.register_buffer(f"places_{self.levels}", place, persistent=False)
                self.register_buffer(f"below_{self.levels}", F.one_hot(place).float(), persistent=False)
                self.levels += 1

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of logits, (batch, categories), given the leaves, (batch,)."""
        loss = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        if self.levels:
            with torch.autocast(logits.device.type, enabled=False):  # a sum of 500 shares needs full precision
                shares = logits.softmax(dim=1)
                for level in range(self.levels):
                    places = self.get_buffer(f"places_{level}")
                    above = shares @ self.get_buffer(f"below_{level}")  # (batch, ancestors)
                    loss = loss + ANCESTOR_WEIGHT * F.nll_loss(above.clamp_min(LEAST_SHARE).log(), places[labels])
        return loss
