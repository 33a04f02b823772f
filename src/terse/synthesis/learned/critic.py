"""The critic: a small network that predicts whether a candidate will be kept, fitted to the verdicts so far."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from terse.errors import Diverged

__all__ = ["Critic", "described", "fit"]

_WIDTH, _DROPOUT = 128, 0.3
_BATCH, _EPOCHS, _MOST_STEPS = 256, 40, 3000
_RATE, _DECAY = 2e-3, 0.1


class Critic(nn.Module):
    """Two hidden layers over the unit pose with its sines and cosines, the class and frozen features.

    Gives two logits: of being kept, which is the score, and of the hardness, which every verdict tells and which a
    threshold throws away; learning both makes the score better (docs/results/critic.md).

    Args:
        inputs: numbers of a row of `described`.

    Source: ours.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(inputs, _WIDTH), nn.SiLU(), nn.Dropout(_DROPOUT)),
            *(nn.Linear(_WIDTH, _WIDTH), nn.SiLU(), nn.Dropout(_DROPOUT)),
            nn.Linear(_WIDTH, 2),
        )
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("spread", torch.ones(inputs))

    def forward(self, described: Float[Tensor, "n d"]) -> Float[Tensor, "n 2"]:
        """Logits of being kept and of the hardness."""
        found: Tensor = self.layers((described - self.mean) / self.spread)
        return found


def described(
    unit_pose: Float[Tensor, "n k"], label: Tensor, classes: int, features: Float[Tensor, "n d"]
) -> Float[Tensor, "n inputs"]:
    """What the critic sees of each paste.

    Source: ours.
    """
    waves = [wave(math.pi * octave * unit_pose) for octave in (1, 2) for wave in (torch.sin, torch.cos)]
    return torch.cat([unit_pose, *waves, functional.one_hot(label, classes).to(unit_pose), features], dim=1)


@torch.enable_grad()
def fit(
    rows: Float[Tensor, "n d"], kept: Float[Tensor, " n"], hardness: Float[Tensor, " n"], weight: Float[Tensor, " n"]
) -> Critic:
    """A critic fitted to all verdicts, from new weights: warm starts forget what older verdicts taught.

    Draws from torch's global generator, which the caller seeds.

    Args:
        rows: `described` of each verdict's candidate.
        kept: whether it was kept, or its rank where nearly all or hardly any are.
        hardness: 1 - p of the verdict.
        weight: newer verdicts weigh more.

    Raises:
        Diverged: the loss is not finite.

    Source: ours.
    """
    critic = Critic(rows.shape[1])
    critic.mean.copy_(rows.mean(dim=0))
    critic.spread.copy_(rows.std(dim=0, correction=0) + 1e-3)
    steps = min(_MOST_STEPS, math.ceil(_EPOCHS * len(rows) / _BATCH))
    optimizer = torch.optim.AdamW(critic.parameters(), lr=_RATE, weight_decay=_DECAY)
    wanted = torch.stack([kept, hardness], dim=1)
    critic.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = _RATE * (1 - step / steps)
        chosen = torch.randint(len(rows), (_BATCH,))
        each = functional.binary_cross_entropy_with_logits(critic(rows[chosen]), wanted[chosen], reduction="none")
        loss = (each.sum(dim=1) * weight[chosen]).mean()
        if not bool(loss.isfinite()):
            raise Diverged("critic", step, f"{float(loss.detach())}", None)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return critic.eval().requires_grad_(False)
