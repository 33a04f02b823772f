"""The task's figures of a target on real images."""

from typing import Any

import torch

from terse.evaluation.classification import evaluate_classifier
from terse.protocols import RealImages, Target

__all__ = ["measure"]


def measure(task: str, target: Target, images: RealImages, device: torch.device) -> dict[str, Any]:
    """The task's figures of a target on real images.

    Source: paper 4.1 (accuracy), 4.2 (AP at several IoUs).
    """
    if task == "classification":
        return evaluate_classifier(target, images, device=device)
    from terse.evaluation.detection import evaluate_detector

    return evaluate_detector(target, images, batch_size=16)
