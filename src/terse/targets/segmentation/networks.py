"""torchvision's networks of semantic segmentation, and the names of their backbones in a file of weights."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torchvision.models import segmentation

from terse.targets.detector.networks import Network

__all__ = ["NETWORKS"]

_AUXILIARY = "aux_classifier."


def _builder(name: str, *, auxiliary: bool) -> Callable[[int, int, Mapping[str, Tensor]], nn.Module]:
    def build(outputs: int, size_px: int, state: Mapping[str, Tensor]) -> nn.Module:
        settings: dict[str, Any] = {"weights": None, "weights_backbone": None, "num_classes": outputs}
        if auxiliary:  # a file of a whole network may have been saved without it
            whole = "classifier.4.weight" in state
            settings["aux_loss"] = not whole or any(key.startswith(_AUXILIARY) for key in state)
        built: nn.Module = getattr(segmentation, name)(**settings)
        return built

    return build


def _backbone(name: str) -> str | None:
    """The backbone has the names of the plain network, or of its list of features."""
    return name.removeprefix("backbone.") if name.startswith("backbone.") else None


def _network(name: str, *, auxiliary: bool = True) -> Network:
    return Network(_builder(name, auxiliary=auxiliary), _backbone, what="segmentation network")


NETWORKS: Mapping[str, Network] = {
    "deeplabv3_mobilenet_v3_large": _network("deeplabv3_mobilenet_v3_large"),
    "deeplabv3_resnet50": _network("deeplabv3_resnet50"),
    "fcn_resnet50": _network("fcn_resnet50"),
    "lraspp_mobilenet_v3_large": _network("lraspp_mobilenet_v3_large", auxiliary=False),
}
