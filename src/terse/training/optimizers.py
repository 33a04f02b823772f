"""Optimisers and learning rates, from the recipe's words."""

import math
from collections.abc import Callable

import torch
from torch import nn

from terse.errors import RecipeError
from terse.recipe_parts import OptimizerConfig

__all__ = ["clip_gradient", "optimizer_maker", "set_rate"]


def optimizer_maker(settings: OptimizerConfig) -> Callable[[nn.Module], torch.optim.Optimizer]:
    """A function from a module to its optimiser, over the parameters that want a gradient.

    Raises:
        RecipeError: when it is called, for a module without any.

    Source: paper A.1 and A.2 (Adam for the synthesizer, SGD for the target).
    """

    def make(module: nn.Module) -> torch.optim.Optimizer:
        parameters = [p for p in module.parameters() if p.requires_grad]
        if not parameters:
            raise RecipeError("target: expected parameters to train, got none that require a gradient")
        if settings.name == "adam":
            return torch.optim.Adam(parameters, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
        return torch.optim.SGD(
            parameters, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay, fused=True
        )

    return make


def clip_gradient(module: nn.Module, settings: OptimizerConfig) -> None:
    """Shrink the gradient to `max_grad_norm` where it is longer; nothing where the recipe names none.

    Source: Pascanu et al. 2013; ours, off in the paper.
    """
    if settings.max_grad_norm:
        nn.utils.clip_grad_norm_(module.parameters(), settings.max_grad_norm)


def set_rate(
    optimizer: torch.optim.Optimizer, settings: OptimizerConfig, step: int, steps: int, cycle: int, cycles: int
) -> None:
    """The learning rate of a step, from its number alone: nothing to keep in a checkpoint.

    `cycles` is how many phases of so many steps share a schedule over the run.

    Source: paper A.1; cosine and one-cycle (Smith and Topin 2018) are ours.
    """
    peak = settings.later_lr if settings.later_lr is not None and cycle >= settings.later_from else settings.lr
    whole = settings.schedule_over == "run" and cycle > 0
    done = ((cycle - 1) * steps + step) / max(1, cycles * steps) if whole else step / max(1, steps)
    if settings.schedule == "cosine":
        peak *= (1 + math.cos(math.pi * min(1.0, done))) / 2
    elif settings.schedule == "one_cycle":
        rise = 0.3
        if done < rise:
            peak *= 0.04 + 0.96 * (1 - math.cos(math.pi * done / rise)) / 2
        else:
            peak *= (1 + math.cos(math.pi * min(1.0, (done - rise) / (1 - rise)))) / 2
    for group in optimizer.param_groups:
        group["lr"] = peak
