"""Objects and detections drawn from a seed."""

import numpy as np
import torch
from torch import Tensor

from terse.types import Truth

CLASSES = ("person", "dog", "kite")
KITE = 2


def drawn(seed: int, images: int = 6, *, ignored: float = 0.2) -> tuple[list[dict[str, Tensor]], Truth]:
    """Objects of two classes of three, and detections that are some of them moved, some of them made up."""
    rng = np.random.default_rng(seed)
    boxes, labels, index, found = [], [], [], []
    for image in range(images):
        count = int(rng.integers(0, 5))
        corner = rng.uniform(0, 120, (count, 2))
        truth = np.concatenate([corner, corner + rng.uniform(6, 130, (count, 2))], axis=1)
        label = rng.integers(0, KITE, count)
        boxes.append(truth)
        labels.append(label)
        index.append(np.full(count, image))
        moved = np.concatenate([truth + rng.normal(0, 6, truth.shape), truth + rng.normal(0, 15, truth.shape)])
        extra = rng.uniform(0, 80, (3, 2))
        moved = np.concatenate([moved, np.concatenate([extra, extra + rng.uniform(5, 90, (3, 2))], axis=1)])
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        named = np.where(rng.random(len(moved)) < 0.8, np.concatenate([label, label, rng.integers(0, 3, 3)]), 1)
        found.append(
            {
                "boxes": torch.from_numpy(moved).float(),
                "labels": torch.from_numpy(named),
                "scores": torch.from_numpy(rng.permutation(len(moved)) / 50 + rng.uniform(0, 0.01)).float(),
            }
        )
    count = sum(map(len, boxes))
    return found, Truth(
        torch.from_numpy(np.concatenate(labels)),
        torch.from_numpy(np.concatenate(boxes)).float(),
        torch.from_numpy(np.concatenate(index)),
        torch.zeros(count, dtype=torch.bool),
        torch.from_numpy(rng.random(count) < ignored),
        images,
    )
