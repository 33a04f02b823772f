"""The state that a network is put in for one call or one phase, and taken out of again."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from torch import nn

__all__ = ["eval_mode", "frozen", "in_mode"]


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


@contextmanager
def frozen(*modules: nn.Module | None) -> Iterator[None]:
    """No parameter of the modules gets a gradient inside; those that learned before learn again afterwards."""
    learned = [p for module in modules if module is not None for p in module.parameters() if p.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
