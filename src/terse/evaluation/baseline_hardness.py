"""How hard composites are for one frozen judge, the same for every arm (Fig. 8)."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int64

from terse.protocols import Renders, Target
from terse.types import Placements

__all__ = ["baseline_hardness"]

_BATCH = 32


@torch.no_grad()
def baseline_hardness(
    task: str,
    target: Target,
    placements: Placements,
    render: Renders,
    *,
    most: int = 256,
    device: torch.device | str = "cpu",
) -> list[float]:
    """1 - p for composites spread evenly over the placements.

    p of a classifier is the probability of the true class; of a detector the highest score, anywhere in the image,
    of a class that was pasted, 0 if none.

    Args:
        task: classification or detection.
        target: the judge; for comparing arms, the frozen start.
        placements: an arm's pool.
        render: draws them.
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
        labels = [truth.labels[(truth.image_index == i) & truth.pasted].numpy() for i in range(len(rows))]
        if task == "classification":
            probabilities = answers.double().cpu().numpy()
            found += [1 - float(row[of].max(initial=0)) for row, of in zip(probabilities, labels, strict=True)]
        else:
            found += [1 - _best(answer, of) for answer, of in zip(answers, labels, strict=True)]
    return found


def _best(answer: dict[str, torch.Tensor], labels: Int64[np.ndarray, " n"] | Sequence[int]) -> float:
    mine = torch.isin(answer["labels"].cpu(), torch.as_tensor(np.asarray(labels), dtype=torch.int64))
    scores = answer["scores"].cpu()[mine]
    return float(scores.max()) if len(scores) else 0.0
