"""SSD-300 in the names of its other implementations: the authors' Caffe model, and ssd.pytorch, to torchvision's.

The three are one network: layers, order of the default boxes and code of the box errors agree; Caffe's first
convolution expects BGR. ssd.pytorch clips the centres of 60 default boxes at the border, by 4 px; the others do not.
"""

from collections.abc import Iterator, Mapping

from torch import Tensor

__all__ = ["in_torchvision_names"]

_FEATURES = ("0", "2", "5", "7", "10", "12", "14", "17", "19", "21")
_EXTRA = ("0.1", "0.3", "0.5", "0.7.1", "0.7.3", "1.0", "1.2", "2.0", "2.2", "3.0", "3.2", "4.0", "4.2")
_VGG_PYTORCH = (24, 26, 28, 31, 33)
_CAFFE = (
    "conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv4_1", "conv4_2", "conv4_3",
    "conv5_1", "conv5_2", "conv5_3", "fc6", "fc7",
    "conv6_1", "conv6_2", "conv7_1", "conv7_2", "conv8_1", "conv8_2", "conv9_1", "conv9_2",
)  # fmt: skip
_CAFFE_MAPS = ("conv4_3_norm", "fc7", "conv6_2", "conv7_2", "conv8_2", "conv9_2")
_HEADS = {"classification": ("conf", "mbox_conf"), "regression": ("loc", "mbox_loc")}


def in_torchvision_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by torchvision's names; those of any other file as they are.

    Source: Liu et al. 2016 (the model and its layers' names); ssd.pytorch numbers the same layers.
    """
    if "conv4_3_norm_mbox_loc.weight" in state:
        named = dict(_caffe())
        state = {**state, "conv1_1.weight": state["conv1_1.weight"].flip(1)}  # BGR to RGB
    elif "L2Norm.weight" in state:
        named = dict(_ssd_pytorch())
    else:
        return dict(state)
    found = {}
    for name, tensor in state.items():
        layer, _, part = name.rpartition(".")
        if layer in ("conv4_3_norm", "L2Norm"):  # one factor a channel, whatever its shape
            found["backbone.scale_weight"] = tensor.flatten()
        else:
            found[f"{named[layer]}.{part}" if layer in named else name] = tensor
    return found


def _layers() -> list[str]:
    """Torchvision's convolutions in the order of the network, without the heads."""
    return [*(f"backbone.features.{i}" for i in _FEATURES), *(f"backbone.extra.{i}" for i in _EXTRA)]


def _ssd_pytorch() -> Iterator[tuple[str, str]]:
    names = [*(f"vgg.{i}" for i in (*_FEATURES, *_VGG_PYTORCH)), *(f"extras.{i}" for i in range(8))]
    yield from zip(names, _layers(), strict=True)
    for head, (name, _) in _HEADS.items():
        for i in range(6):
            yield f"{name}.{i}", f"head.{head}_head.module_list.{i}"


def _caffe() -> Iterator[tuple[str, str]]:
    yield from zip(_CAFFE, _layers(), strict=True)
    for head, (_, name) in _HEADS.items():
        for i, features in enumerate(_CAFFE_MAPS):
            yield f"{features}_{name}", f"head.{head}_head.module_list.{i}"
