"""The built-in detectors and the weights of a file: torchvision's own networks, SSDLite on MobileNetV2 from its parts.

A file holds the whole detector or the backbone below it, told apart by the names. Nothing is downloaded. Each builder also says which tensor of a plain classification network each tensor of the
detector's body is, so that a file of backbone weights can be read without converting it first.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torchvision.models import detection, mobilenet_v2, mobilenet_v3_large
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops.misc import Conv2dNormActivation, FrozenBatchNorm2d

from terse.errors import DataError
from terse.targets.detector.small import small_ssd
from terse.targets.detector.ssd_names import in_torchvision_names
from terse.targets.weights import outputs_of, read_weights, shared_prefixes, without_prefix

__all__ = ["NETWORKS", "SSD300_OF_VOC", "Network", "build_with_weights"]

_log = logging.getLogger(__name__)
_CLASSIFIERS = (
    "head.classification_head.module_list.0.weight",
    "head.classification_head.module_list.0.1.weight",
    "head.classification_head.cls_logits.weight",
    "roi_heads.box_predictor.cls_score.weight",
    "classifier.4.weight",
    "classifier.low_classifier.weight",
    "segmentation_head.0.weight",
    "head.weight",
)

_State = Mapping[str, Tensor]
_VGG_SPLIT = 23  # the fourth pool: SSD looks at what comes before it
_VOC_SCALES = (0.1, 0.2, 0.37, 0.54, 0.71, 0.88, 1.05)  # Liu et al. 2016, 30 to 315 of 300 px; COCO's are 21 to 315
_V2_C4, _V3_C4 = 14, 13  # the blocks of the MobileNets that go from stride 16 to 32
_EXTRA_CHANNELS = (512, 256, 256, 128)  # torchvision's SSDLite


@dataclass(frozen=True)
class Network:
    """How a detector is built, and how its body is named in a file of backbone weights."""

    build: Callable[[int, int, _State], nn.Module]
    """From the number of outputs (the background included), the image's side in pixels and the tensors that will
    be loaded, empty where there are none: some have a variant for them."""
    body: Callable[[str], str | None]
    """The backbone's own name of one of the detector's tensors; None for tensors that are no part of it."""
    softmax: bool = True
    """Whether scores compete with a background; focal ones are sigmoids of their own."""
    named: Callable[[_State], dict[str, Tensor]] = dict
    """The tensors of a file by torchvision's names, where other implementations call them otherwise."""
    what: str = "detector"
    """What messages call it."""


def _ssd300_vgg16(outputs: int, size_px: int, state: _State, *, scales: Sequence[float] | None = None) -> nn.Module:
    detector: Any = detection.ssd300_vgg16(weights=None, weights_backbone=None, num_classes=outputs)
    if scales is not None:
        old = detector.anchor_generator
        detector.anchor_generator = DefaultBoxGenerator(old.aspect_ratios, scales=list(scales), steps=old.steps)
    if size_px != 300:  # the steps of its anchors are in pixels of 300; without them they follow the maps
        detector.anchor_generator.steps = None
        mean, std = detector.transform.image_mean, detector.transform.image_std
        size = (size_px, size_px)
        detector.transform = GeneralizedRCNNTransform(size_px, size_px, mean, std, size_divisible=1, fixed_size=size)
    built: nn.Module = detector
    return built


def _ssdlite(
    features: nn.Sequential, c4: int, inside: str, outputs: int, size_px: int, mean: list[float], std: list[float]
) -> nn.Module:
    """SSDLite on any MobileNet, with the settings of torchvision's."""
    backbone = _SSDLiteFeatures(features, c4, inside)
    anchors = DefaultBoxGenerator([[2, 3] for _ in range(6)], min_ratio=0.2, max_ratio=0.95)
    head = SSDLiteHead(backbone.out_channels, anchors.num_anchors_per_location(), outputs, _norm_layer)
    settings: Any = {"score_thresh": 0.001, "nms_thresh": 0.55, "detections_per_img": 300, "topk_candidates": 300}
    detector: nn.Module = SSD(
        backbone, anchors, (size_px, size_px), outputs, head=head, image_mean=mean, image_std=std, **settings
    )
    # Autograd keeps a copy of the input for these in place: one pass over memory more, 15 % of a training step.
    for layer in detector.modules():
        if isinstance(layer, (nn.ReLU6, nn.Hardswish)):
            layer.inplace = False
    return detector


def _ssdlite_mobilenet_v2(outputs: int, size_px: int, state: _State) -> nn.Module:
    features: nn.Sequential = mobilenet_v2(weights=None).features
    return _ssdlite(features, _V2_C4, "conv", outputs, size_px, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def _ssdlite320_mobilenet_v3_large(outputs: int, size_px: int, state: _State) -> nn.Module:
    # torchvision halves the last blocks where it starts from nothing; ImageNet's weights, and detectors that
    # started from them, have them whole: 960 channels.
    last = ("16.0.weight", "backbone.features.1.3.0.weight")
    whole = any(name.endswith(last) and tensor.shape[:1] == (960,) for name, tensor in state.items())
    network = mobilenet_v3_large(weights=None, norm_layer=_norm_layer, reduced_tail=not whole)
    _small_normal(network)
    half = [0.5, 0.5, 0.5]
    return _ssdlite(network.features, _V3_C4, "block", outputs, size_px, half, half)


def _pyramid(name: str) -> Callable[[int, int, _State], nn.Module]:
    """One of torchvision's detectors on a feature pyramid."""

    def build(outputs: int, size_px: int, state: _State) -> nn.Module:
        detector: Any = getattr(detection, name)(
            weights=None, weights_backbone=None, num_classes=outputs, min_size=size_px, max_size=size_px
        )
        learns = any(key.startswith("backbone.body.") and key.endswith("num_batches_tracked") for key in state)
        if state and not learns:  # torchvision freezes the statistics of a pretrained body: batches are small
            _freeze_batch_norm(detector.backbone.body)
        built: nn.Module = detector
        return built

    return build


def _maskrcnn_mobilenet(outputs: int, size_px: int, state: _State) -> nn.Module:
    """Mask R-CNN with the backbone, anchors and few proposals of torchvision's Faster R-CNN on MobileNetV3."""
    inner: Any = _pyramid("fasterrcnn_mobilenet_v3_large_320_fpn")(outputs, size_px, state)
    detector: nn.Module = detection.MaskRCNN(
        inner.backbone,
        outputs,
        min_size=size_px,
        max_size=size_px,
        rpn_anchor_generator=inner.rpn.anchor_generator,
        rpn_pre_nms_top_n_test=150,
        rpn_post_nms_top_n_test=150,
    )
    return detector


class _SSDLiteFeatures(nn.Module):
    """The maps SSDLite looks at: C4's expansion, the last features, then four smaller ones.

    Sandler et al. 2018, section 6.2. Layers are named as in torchvision's, which is for MobileNetV3 alone.
    """

    def __init__(self, features: nn.Sequential, c4: int, inside: str) -> None:
        super().__init__()
        block: Any = getattr(features[c4], inside)
        last: Any = features[-1]
        self.features = nn.ModuleList(
            [
                nn.Sequential(*features[:c4], block[0]),
                nn.Sequential(block[1:], *features[c4 + 1 :]),
            ]
        )
        channels = [last.out_channels, *_EXTRA_CHANNELS]
        self.extra = nn.ModuleList(_extra_block(before, after) for before, after in pairwise(channels))
        self.out_channels = [block[0].out_channels, *channels]
        _small_normal(self.extra)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = OrderedDict()
        for block in [*self.features, *self.extra]:
            images = block(images)
            maps[str(len(maps))] = images
        return maps


_norm_layer = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)


def _extra_block(inputs: int, outputs: int) -> nn.Sequential:
    layer = partial(Conv2dNormActivation, norm_layer=_norm_layer, activation_layer=nn.ReLU6)
    middle = outputs // 2
    return nn.Sequential(
        layer(inputs, middle, kernel_size=1),
        layer(middle, middle, kernel_size=3, stride=2, groups=middle),
        layer(middle, outputs, kernel_size=1),
    )


def _small_normal(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.03)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _freeze_batch_norm(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features, eps=child.eps))
        else:
            _freeze_batch_norm(child)


def _vgg_body(name: str) -> str | None:
    """VGG's list of features, which SSD cuts before the fourth pool; its own layers follow the fifth group."""
    parts = name.split(".")
    if parts[:2] == ["backbone", "features"]:
        return ".".join(parts[2:])
    if parts[:3] == ["backbone", "extra", "0"] and parts[4] in ("weight", "bias"):
        return ".".join([str(_VGG_SPLIT + int(parts[3])), *parts[4:]])
    return None


def _split_body(c4: int, inside: str) -> Callable[[str], str | None]:
    """Names of a features list that SSDLite cuts in two inside one block."""

    def body(name: str) -> str | None:
        parts = name.split(".")
        if parts[:2] != ["backbone", "features"]:
            return None
        half, index, rest = parts[2], int(parts[3]), parts[4:]
        if half == "0":
            return ".".join([str(index), *rest] if index < c4 else [str(c4), inside, "0", *rest])
        if index == 0:
            return ".".join([str(c4), inside, *rest])  # a slice keeps its layers' names
        return ".".join([str(c4 + index), *rest])

    return body


def _pyramid_body(name: str) -> str | None:
    """The body below a feature pyramid has the names of the plain network."""
    return name.removeprefix("backbone.body.") if name.startswith("backbone.body.") else None


def _small_body(name: str) -> str | None:
    """The features of `ssd_small` alone."""
    return name.removeprefix("backbone.") if name.startswith("backbone.") else None


NETWORKS: Mapping[str, Network] = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": Network(_pyramid("fasterrcnn_mobilenet_v3_large_320_fpn"), _pyramid_body),
    "fasterrcnn_resnet50_fpn": Network(_pyramid("fasterrcnn_resnet50_fpn"), _pyramid_body),
    "fcos_resnet50_fpn": Network(_pyramid("fcos_resnet50_fpn"), _pyramid_body, softmax=False),
    "maskrcnn_mobilenet_v3_large_fpn": Network(_maskrcnn_mobilenet, _pyramid_body),
    "maskrcnn_resnet50_fpn": Network(_pyramid("maskrcnn_resnet50_fpn"), _pyramid_body),
    "retinanet_resnet50_fpn": Network(_pyramid("retinanet_resnet50_fpn"), _pyramid_body, softmax=False),
    "ssd300_vgg16": Network(_ssd300_vgg16, _vgg_body, named=in_torchvision_names),
    "ssd_small": Network(small_ssd, _small_body),
    "ssdlite320_mobilenet_v3_large": Network(_ssdlite320_mobilenet_v3_large, _split_body(_V3_C4, "block")),
    "ssdlite_mobilenet_v2": Network(_ssdlite_mobilenet_v2, _split_body(_V2_C4, "conv")),
}


SSD300_OF_VOC = replace(NETWORKS["ssd300_vgg16"], build=partial(_ssd300_vgg16, scales=_VOC_SCALES))
"""With the default boxes of SSD's VOC models, which are larger than those for COCO."""


def build_with_weights(network: Network, path: Path | None, outputs: int, size_px: int) -> tuple[nn.Module, int, str]:
    """The detector, its number of outputs (a whole detector in the file decides it), and what the file held.

    Raises:
        DataError: no such file, or it holds neither this detector nor its backbone; the first tensor that does
            not fit is named.
    """
    if path is None:
        return network.build(outputs, size_px, {}), outputs, "nothing"
    state = network.named(
        without_prefix(read_weights(path), lambda held: any(name in network.named(held) for name in _CLASSIFIERS), path)
    )
    module = network.build(outputs, size_px, state)
    own = module.state_dict()
    name = next(name for name in _CLASSIFIERS if name in own)
    if name in state:
        told = outputs * outputs_of(state[name]) / len(own[name])
        if told != outputs:
            if told != int(told) or told < 1:
                raise _misfit(path, name, state[name], own[name], network.what)
            outputs = int(told)
            module = network.build(outputs, size_px, state)
        _load(module, state, path, network.what)
        found = network.what
    else:
        _load(module, _body(network, module, state, path), path, network.what)
        found = "backbone"
    _log.info("target.weights: %s holds a %s", path.name, found if found == "backbone" else f"whole {found}")
    return module, outputs, found


def _body(network: Network, module: nn.Module, state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The detector's own tensors with those of its body replaced by the file's."""
    own = module.state_dict()
    body = {name: inner for name in own if (inner := network.body(name)) is not None}
    # Files name the layers as the whole classifier does, or as its list of features alone, below a tool's own prefix.
    prefixes = [shared + part for shared in shared_prefixes(state) for part in ("", "features.", "backbone.")]
    prefix = max(prefixes, key=lambda p: sum(p + inner in state for inner in body.values()))
    joined = dict(own)
    for name, inner in body.items():
        given = state.get(prefix + inner)
        if given is None and not inner.endswith("num_batches_tracked"):
            raise DataError(
                f"target.weights: expected the whole {network.what} or its backbone, got {path} without "
                f"{prefix + inner!r}; "
                f"its names begin with {next(iter(state))!r}"
            )
        if given is not None:
            joined[name] = given
    return joined


def _load(module: nn.Module, state: Mapping[str, Tensor], path: Path, what: str) -> None:
    own = module.state_dict()
    for name, tensor in own.items():
        if name not in state:
            if name.endswith("num_batches_tracked"):
                continue
            raise DataError(f"target.weights: expected every tensor of the {what}, got {path} without {name!r}")
        if state[name].shape != tensor.shape:
            raise _misfit(path, name, state[name], tensor, what)
    spare = next((n for n in state if n not in own and not n.endswith("num_batches_tracked")), None)
    if spare is not None:
        raise DataError(
            f"target.weights: expected the tensors of the {what} alone, got {path} with {spare!r} as well; "
            f"is target.kind the {what} it was saved from?"
        )
    module.load_state_dict(dict(state), strict=False)


def _misfit(path: Path, name: str, given: Tensor, wanted: Tensor, what: str) -> DataError:
    return DataError(
        f"target.weights: expected {name!r} of shape {tuple(wanted.shape)}, got {tuple(given.shape)} in {path}; "
        f"is target.kind the {what} it was saved from?"
    )
