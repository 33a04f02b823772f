"""The convolutional part of a torchvision classifier, cut where it has halved its input four times."""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision import models

from terse.errors import DataError, RecipeError
from terse.registry import nearest
from terse.targets.weights import read_weights

__all__ = ["build_backbone", "load_backbone"]

_PROBE_PX = 256
_STRIDES = range(14, 19)  # 16, or as near as a backbone without padding comes (SqueezeNet: 17)


def build_backbone(name: str, until: Literal["pool4", "conv5"] = "pool4") -> tuple[nn.Sequential, int]:
    """The layers of a torchvision classifier down to a sixteenth of the input, and their number of channels.

    Layers keep torchvision's names, so that its weights fit. A VGG ends right after its fourth pool, or with
    `conv5` before its fifth; every other backbone ends with its last layer of that size. Weights are drawn
    (He et al. 2015) until `load_backbone` reads some.

    Raises:
        RecipeError: no such classifier, or one that is not a chain of layers down to that size.

    Source: paper A.2 (VGG-16 with BatchNorm, to pool4) and 3.4 (to conv5); other backbones are ours.
    """
    known = models.list_models(module=models)
    if name not in known:
        hint = "; vgg16_bn is the paper's, mobilenet_v2 is small"
        raise RecipeError(
            f"synthesis.backbone: expected a torchvision classifier, got {name!r}{nearest(name, known) or hint}"
        )
    chain, channels = _chain(name)
    if name.startswith("vgg") and until == "pool4":
        pools = [index for index, layer in enumerate(chain) if isinstance(layer, nn.MaxPool2d)]
        chain = chain[: pools[3] + 1]
    # The whole classifier was built without storage: VGG's three dropped layers alone hold 120 million numbers.
    chain.to_empty(device="cpu")
    for module in chain.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_parameters()
    return chain, channels


def load_backbone(backbone: nn.Sequential, name: str, path: Path) -> None:
    """Read weights in torchvision's names, with or without a prefix such as `features.`, in any float type.

    A VGG with BatchNorm does not take the weights of one without: training would normalise what these
    weights were never trained to have normalised. The backbone without BatchNorm (`vgg16`) takes them as
    they are.

    Raises:
        DataError: no such file, not a file of tensors, or tensors missing or of another shape.

    Source: ours.
    """
    state = read_weights(path)
    wanted = {key: tensor for key, tensor in backbone.state_dict().items() if "num_batches_tracked" not in key}
    first = next(iter(wanted))
    prefixes = {key[: -len(first)] for key in state if key.endswith(first)}
    fitting = {prefix: _misfits(state, wanted, prefix) for prefix in prefixes if not prefix or prefix.endswith(".")}
    misfits = min(fitting.values(), key=len, default=list(wanted))
    if misfits:
        plain = name.removesuffix("_bn")
        convolutions_alone = plain != name and not any("running_mean" in key for key in state)
        step = (
            f"the file has no BatchNorm: take backbone {plain}"
            if convolutions_alone
            else "name the backbone these weights were saved from"
        )
        raise DataError(
            f"synthesis.backbone_weights: expected the tensors of {name} in {path}, "
            f"got {len(misfits)} of {len(wanted)} missing or of another shape, first {misfits[0]}; {step}"
        )
    prefix = min(fitting, key=lambda key: len(fitting[key]))
    backbone.load_state_dict({key: state[prefix + key] for key in wanted}, strict=False)


def _chain(name: str) -> tuple[nn.Sequential, int]:
    """The layers that lead to a sixteenth of the input, without storage, and the channels they end with."""
    chain = nn.Sequential()
    channels = stride = 0
    with torch.device("meta"):
        try:
            model = models.get_model(name, weights=None).eval()
        except RuntimeError:  # RegNet reads numbers from its tensors while it is built, and these hold none
            model = nn.Identity()
        x = torch.zeros(1, 3, _PROBE_PX, _PROBE_PX)
    for key, layer in getattr(model, "features", model).named_children():
        try:
            x = layer(x)
        except (AssertionError, RuntimeError):  # not a chain: this layer expects what something in between makes
            break
        if x.ndim != 4 or _PROBE_PX // x.shape[-1] > _STRIDES[-1]:
            break
        chain.add_module(key, layer)
        channels, stride = x.shape[1], _PROBE_PX // x.shape[-1]
    drawn = (nn.Conv2d, nn.modules.batchnorm._BatchNorm)
    bare = [key for key, layer in chain.named_modules() if not isinstance(layer, drawn) and [*layer.parameters(False)]]
    if stride not in _STRIDES or len(chain) == 1 or bare:  # a single layer is a transformer's patch embedding
        raise RecipeError(
            f"synthesis.backbone: expected a chain of convolutions and BatchNorm down to a sixteenth of the image, got {name}; "
            "vgg16_bn, mobilenet_v2, mobilenet_v3_small, resnet18 and efficientnet_b0 are"
        )
    return chain, channels


def _misfits(state: dict[str, Tensor], wanted: dict[str, Tensor], prefix: str) -> list[str]:
    return [
        key for key, tensor in wanted.items() if prefix + key not in state or state[prefix + key].shape != tensor.shape
    ]
