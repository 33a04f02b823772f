"""How hard composites are for one frozen judge, the same for every arm (Fig. 8)."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from terse.placements import Placements
from terse.protocols import Judges, Renders

__all__ = ["baseline_hardness"]

_BATCH = 32


@torch.no_grad()
def baseline_hardness(
    target: Judges,
    placements: Placements,
    render: Renders,
    image_confidence: Callable[[Any, Sequence[Int64[Tensor, " _"]]], list[float]],
    *,
    most: int = 256,
    device: torch.device | str = "cpu",
) -> list[float]:
    """1 - p for composites spread evenly over the placements.

    p is the image's: of what was pasted, the highest probability that the target gives it anywhere.

    Args:
        target: the judge; for comparing arms, the frozen start.
        placements: an arm's pool.
        render: draws them.
        image_confidence: the task's p, from the target's predictions and each image's pasted labels.
        most: at most so many composites.
        device: the target's.

    Source: paper 4.2.1 and Fig. 8.
    """
    chosen = np.unique(np.linspace(0, len(placements) - 1, min(most, len(placements))).astype(np.int64))
    found: list[float] = []
    for rows in np.array_split(chosen, -(-len(chosen) // _BATCH)) if len(chosen) else []:
        drawn = render(placements.take(rows))
        answers = target.predict(drawn.images.to(device))
        truth = drawn.truth.to("cpu")
        labels = [truth.labels[(truth.image_index == i) & truth.pasted] for i in range(len(rows))]
        found += [1 - p for p in image_confidence(answers, labels)]
    return found
