"""Real images beside what the model said of them at the start and says at the end (paper, Fig. 9)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from terse.protocols import Judges, RealImages, trainable
from terse.recipe import Recipe
from terse.report.parts import BeforeAfter
from terse.report.pool_pictures import to_uint8
from terse.targets.weights import load_weights
from terse.tasks.task import task
from terse.training.seeding import reseed

__all__ = ["before_after", "target_of"]


def target_of(recipe: Recipe, classes: tuple[str, ...], weights: Path | None) -> Judges:
    """The recipe's target on the CPU with these weights, or as the recipe begins with it."""
    reseed(recipe.seed, 0, "target weights", 0)
    target = recipe.target.build(classes=classes, canvas_px=recipe.canvas_px)
    network = trainable(target).module
    if weights is not None:
        load_weights(network, weights)
    network.to(torch.device("cpu"))
    return target


def before_after(
    recipe: Recipe, before: Judges, after: Judges, images: RealImages, classes: tuple[str, ...]
) -> tuple[Sequence[BeforeAfter], str]:
    """The images that the recipe's task shows of two models, and how they were chosen; nothing without images."""
    if len(images) == 0:
        return (), ""
    answers = task(recipe.task).answers(before, after, images, classes)
    pairs = [
        BeforeAfter(to_uint8(images.fetch(np.array([one.row]))[0])[0], one.before, one.after, one.name)
        for one in answers.changes
    ]
    return pairs, answers.note
