"""Accuracy of a classifier."""

import numpy as np
import torch

from terse.protocols import RealImages, Target

__all__ = ["evaluate_classifier"]


def evaluate_classifier(
    target: Target, images: RealImages, *, batch_size: int = 500, device: torch.device | str = "cpu"
) -> dict[str, float]:
    """Share of images whose most probable class is the true one.

    Source: paper 4.1 and Table 1 (error is 1 - accuracy).
    """
    right = 0
    for start in range(0, len(images), batch_size):
        batch, truth = images.fetch(np.arange(start, min(start + batch_size, len(images))))
        guess = target.predict(batch.to(device)).argmax(dim=1)
        right += int((guess == truth.labels.to(device)).sum())
    return {"accuracy": right / max(1, len(images))}
