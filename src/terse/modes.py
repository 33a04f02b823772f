"""The state that a network is put in for one call or one phase, and taken out of again."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

import torch
from torch import nn

__all__ = ["eval_mode", "frozen", "in_mode", "learning", "through_weights", "weights_differentiate"]

_THROUGH_WEIGHTS = ContextVar("through_weights", default=False)


@contextmanager
def in_mode(*modules: nn.Module, training: bool) -> Iterator[None]:
    """The modules and all their parts in train or eval mode; each part's own mode is put back.

    A BatchNorm that its owner holds in eval mode is there again afterwards. Eval mode also protects BatchNorm's
    statistics, which a forward pass in train mode moves.
    """
    before = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.train(training)
        yield
    finally:
        for part, mode in before:
            part.training = mode


def eval_mode(*modules: nn.Module) -> AbstractContextManager[None]:
    """`in_mode` for looking without learning."""
    return in_mode(*modules, training=False)


def learning(module: nn.Module) -> AbstractContextManager[None]:
    """Train mode; a module that is in train mode already is left as it is, parts that its owner holds in eval mode included."""
    return nullcontext() if module.training else in_mode(module, training=True)


@contextmanager
def frozen(*modules: nn.Module | None) -> Iterator[None]:
    """No parameter of the modules gets a gradient inside; those that learned before learn again afterwards.

    Inside `through_weights` it freezes nothing.
    """
    found = [] if weights_differentiate() else [module for module in modules if module is not None]
    learned = [p for module in found for p in module.parameters() if p.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)


@contextmanager
def through_weights(weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """What a target computes inside differentiates in these weights too, though its evidence is made for the pixels.

    A phase may have frozen them around this.
    """
    learned = [weight.requires_grad for weight in weights]
    inside = _THROUGH_WEIGHTS.set(True)
    try:
        for weight in weights:
            weight.requires_grad_(True)
        with torch.enable_grad():
            yield
    finally:
        _THROUGH_WEIGHTS.reset(inside)
        for weight, before in zip(weights, learned, strict=True):
            weight.requires_grad_(before)


def weights_differentiate() -> bool:
    """Whether this is inside `through_weights`: nothing may stand between the weights and what is computed."""
    return _THROUGH_WEIGHTS.get()
