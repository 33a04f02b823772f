"""The state a detector is put in for one call, and taken out of again: mode, frozen weights, BatchNorm folded.

A frozen BatchNorm is a scale and a shift of each channel, which the convolution before it can do by itself. On a CPU it
is two passes over memory less for each layer and direction: an attack on SSDLite takes 0.6 of the time. The folded
weights are made anew for every call (a hundredth of it), so they can never be old.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection import FCOS
from torchvision.models.detection.ssd import SSD
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.ops.misc import FrozenBatchNorm2d

from terse.errors import DataError
from terse.modes import eval_mode, frozen, learning, weights_differentiate

__all__ = ["folded", "inference", "matched_anchors", "several_images", "training"]

# Parents that call their children in the order they hold them: only there is a neighbour the next layer.
_IN_ORDER = (nn.Sequential, IntermediateLayerGetter, BasicBlock, Bottleneck)


@contextmanager
def inference(module: nn.Module) -> Iterator[None]:
    """Eval mode, frozen parameters, BatchNorm folded: what is computed inside differentiates in the pixels alone.

    Inside `terse.modes.through_weights` nothing is frozen or folded.
    """
    with eval_mode(module), _float32_outputs(module), frozen(module), folded(module):
        yield


@contextmanager
def training(module: nn.Module) -> Iterator[None]:
    """Train mode; a module that is in train mode already is left as it is, frozen parts included."""
    with learning(module), _float32_outputs(module):
        yield


@contextmanager
def several_images(count: int) -> Iterator[None]:
    """A sentence for BatchNorm's complaint of a batch of one image whose maps have one pixel.

    Raises:
        DataError: BatchNorm has one value a channel.
    """
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise DataError(
            f"images: expected at least 2 in a training batch, got {count}; "
            "the model's BatchNorm sees one pixel an image there: drop the last, smaller batch"
        ) from None


@contextmanager
def matched_anchors(module: Any) -> Iterator[list[int] | None]:
    """How many anchors a loss that is computed inside has matched, and is divided by; None where it is by images.

    torchvision's SSD and FCOS match, and divide, inside their own loss.
    """
    owner = module if isinstance(module, SSD) else module.head if isinstance(module, FCOS) else None
    if owner is None:
        yield None
        return
    compute, matched = owner.compute_loss, []

    def counting(*arguments: Any) -> Any:
        matched.append(sum(int((of_image >= 0).sum()) for of_image in arguments[3]))
        return compute(*arguments)

    owner.compute_loss = counting
    try:
        yield matched
    finally:
        del owner.compute_loss


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


@contextmanager
def folded(module: nn.Module) -> Iterator[None]:
    """Inside, convolutions do the work of the BatchNorms behind them; the module must be in eval mode."""
    places = [] if weights_differentiate() else list(_foldable(module))
    try:
        for parent, first, second, convolution, norm in places:
            parent._modules[first] = _fold(convolution, norm)
            parent._modules[second] = nn.Identity()
        yield
    finally:
        for parent, first, second, convolution, norm in places:
            parent._modules[first], parent._modules[second] = convolution, norm


def _foldable(module: nn.Module) -> Iterator[tuple[nn.Module, str, str, nn.Conv2d, Any]]:
    for parent in module.modules():
        if not isinstance(parent, _IN_ORDER):
            continue
        for (first, convolution), (second, norm) in pairwise(parent._modules.items()):
            # Exact types: a subclass may compute something else. Hooks would see other values.
            if type(convolution) is not nn.Conv2d or type(norm) not in (nn.BatchNorm2d, FrozenBatchNorm2d):
                continue
            hooked = convolution._forward_hooks or convolution._forward_pre_hooks
            statistics: Any = norm
            if statistics.running_mean is not None and statistics.weight is not None and not hooked:
                yield parent, first, second, convolution, statistics


@torch.no_grad()
def _fold(convolution: nn.Conv2d, norm: Any) -> nn.Conv2d:
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    shift = norm.bias - norm.running_mean * scale
    if convolution.bias is not None:
        shift = shift + convolution.bias * scale
    both = copy.copy(convolution)
    both._parameters = {
        "weight": nn.Parameter(convolution.weight * scale[:, None, None, None], requires_grad=False),
        "bias": nn.Parameter(shift, requires_grad=False),
    }
    return both
