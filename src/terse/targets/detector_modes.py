"""The state a detector is put in for one call, and taken out of again."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from terse.modes import eval_mode, frozen, in_mode
from terse.targets.folding import folded

__all__ = ["inference", "training"]


@contextmanager
def inference(module: nn.Module) -> Iterator[None]:
    """Eval mode, frozen parameters, BatchNorm folded: what is computed inside differentiates in the pixels alone."""
    with eval_mode(module), _float32_outputs(module), frozen(module), folded(module):
        yield


@contextmanager
def training(module: nn.Module) -> Iterator[None]:
    """Train mode; a module that is in train mode already is left as it is, frozen parts included."""
    mode = nullcontext() if module.training else in_mode(module, training=True)
    with mode, _float32_outputs(module):
        yield


@contextmanager
def _float32_outputs(module: Any) -> Iterator[None]:
    """Features and raw outputs leave their networks in float32, whatever autocast computed them in.

    torchvision makes anchors in the features' type: in bfloat16 a corner at 300 px is off by up to a pixel, and
    box codes and their losses inherit it. The convolutions cast back by themselves.
    """
    parts = [module.backbone]
    if hasattr(module, "roi_heads"):
        parts += [module.rpn.head, module.roi_heads.box_predictor]
    else:
        parts += [module.head]
    hooks = [part.register_forward_hook(_to_float32) for part in parts]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _to_float32(module: nn.Module, inputs: Any, outputs: Any) -> Any:
    if isinstance(outputs, Tensor):
        return outputs.float() if outputs.dtype in (torch.bfloat16, torch.float16) else outputs
    if isinstance(outputs, dict):
        return {name: _to_float32(module, inputs, part) for name, part in outputs.items()}
    return type(outputs)(_to_float32(module, inputs, part) for part in outputs)
