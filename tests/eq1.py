"""Eq. 1 of a target, as the synthesizer's step computes it."""

from torch import Tensor

from terse.objectives import target_loss_of
from terse.recipe_parts import ObjectiveConfig
from terse.types import Truth


def attack_loss(target: object, images: Tensor, truth: Truth, **objective: object) -> Tensor:
    """L_T of each composite, in the form that the objective's settings name."""
    return target_loss_of(target, ObjectiveConfig(**objective))(images, truth)
