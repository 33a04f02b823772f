"""torchvision's detectors by name: what a recipe can say about them, and which output stands for which class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from terse.config import Component, Count, InputPath, Paper
from terse.errors import RecipeError
from terse.registry import register

if TYPE_CHECKING:
    from terse.protocols import Target
    from terse.targets.detector.networks import Network

__all__ = [
    "SSD300VGG16",
    "FCOSResNet50FPN",
    "FasterRCNNMobileNetV3Large320FPN",
    "FasterRCNNResNet50FPN",
    "MaskRCNNMobileNetV3LargeFPN",
    "MaskRCNNResNet50FPN",
    "RetinaNetResNet50FPN",
    "SSDLite320MobileNetV3Large",
    "SSDLiteMobileNetV2",
    "SSDSmall",
    "columns_of_classes",
]


class _Detector(Component["Target"]):
    task: ClassVar[str] = "detection"
    weights: InputPath | None = None
    """Tensors of a whole detector, or of its backbone alone; the log says which it was. None starts from nothing."""
    image_size_px: Count | None = None
    """Side the detector resizes images to; null takes the canvas, so that nothing is resized."""
    labels: dict[str, int] | None = None
    """The detector's own label of each class, where they are not the task's classes counted from 1."""
    lambda_box: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the box error in Eq. 1."""

    def build(self, *, classes: tuple[str, ...], canvas_px: int) -> Target:
        """The target for these classes on this canvas.

        Raises:
            RecipeError: labels that do not fit.
            DataError: weights that are not there, or of something else.
        """
        from terse.targets.detector.networks import build_with_weights
        from terse.targets.detector.target import DetectorTarget
        from terse.targets.named_outputs import numbers_by_name

        size_px = self.image_size_px or canvas_px
        network = self._network()
        # torchvision counts a background in every detector, sigmoid scores or not.
        module, outputs, found = build_with_weights(network, self.weights, len(classes) + 1, size_px)
        columns = columns_of_classes(classes, outputs, self.labels, softmax=network.softmax)
        named = numbers_by_name(outputs) if found == network.what else {}
        if self.task == "instances":
            from terse.targets.detector.instances import InstanceTarget

            return InstanceTarget(module, classes, columns, self.lambda_box, found, named)
        return DetectorTarget(module, classes, columns, self.lambda_box, found, named)

    def _network(self) -> Network:
        from terse.targets.detector.networks import NETWORKS

        return NETWORKS[self.kind]


@register("target", "ssd300_vgg16")
class SSD300VGG16(_Detector):
    """SSD on VGG-16 (Liu et al. 2016): the paper's person detector (4.2)."""

    kind: Literal["ssd300_vgg16"] = "ssd300_vgg16"
    image_size_px: Annotated[int, Field(ge=272), Paper(300)] | None = 300
    """Side the detector resizes images to; below 272 its last maps are empty. Null takes the canvas."""
    anchors: Literal["coco", "voc"] = "coco"
    """Sizes of the default boxes: torchvision's, which are SSD's for COCO, or those of SSD's VOC models. A file of weights
    was trained with one of them and does not say which. Tensors may have the names of torchvision, ssd.pytorch or Caffe."""

    def _network(self) -> Network:
        from terse.targets.detector.networks import SSD300_OF_VOC

        return SSD300_OF_VOC if self.anchors == "voc" else super()._network()


@register("target", "ssd_small")
class SSDSmall(_Detector):
    """SSD on a small network of its own: the one to train from nothing on a CPU, in minutes."""

    kind: Literal["ssd_small"] = "ssd_small"


@register("target", "ssdlite320_mobilenet_v3_large")
class SSDLite320MobileNetV3Large(_Detector):
    """SSDLite on MobileNetV3 (Howard et al. 2019)."""

    kind: Literal["ssdlite320_mobilenet_v3_large"] = "ssdlite320_mobilenet_v3_large"
    image_size_px: Count | None = 320


@register("target", "ssdlite_mobilenet_v2")
class SSDLiteMobileNetV2(_Detector):
    """SSDLite on MobileNetV2 (Sandler et al. 2018): the one to train on a CPU."""

    kind: Literal["ssdlite_mobilenet_v2"] = "ssdlite_mobilenet_v2"
    image_size_px: Count | None = 320


class _FasterRCNN(_Detector):
    proposals_per_image: Count = 512
    """Of an image, so many proposals train the box head: the most of a training step's time. 512 is torchvision's."""

    def _network(self) -> Network:
        from dataclasses import replace

        network, count = super()._network(), self.proposals_per_image

        def build(*given: Any) -> Any:
            module: Any = network.build(*given)
            module.roi_heads.fg_bg_sampler.batch_size_per_image = count
            return module

        return replace(network, build=build)


@register("target", "fasterrcnn_resnet50_fpn")
class FasterRCNNResNet50FPN(_FasterRCNN):
    """Faster R-CNN on ResNet-50 (Ren et al. 2015, Lin et al. 2017): the paper's detector of kitchen objects (4.3)."""

    kind: Literal["fasterrcnn_resnet50_fpn"] = "fasterrcnn_resnet50_fpn"


@register("target", "fasterrcnn_mobilenet_v3_large_320_fpn")
class FasterRCNNMobileNetV3Large320FPN(_FasterRCNN):
    """Faster R-CNN on MobileNetV3, few proposals, small images."""

    kind: Literal["fasterrcnn_mobilenet_v3_large_320_fpn"] = "fasterrcnn_mobilenet_v3_large_320_fpn"
    image_size_px: Count | None = 320


class _MaskDetector(_Detector):
    task: ClassVar[str] = "instances"
    lambda_box: Annotated[float, Field(ge=0)] = 1.0
    """Weight in Eq. 1 of the box error and the mask's mean cross-entropy."""


@register("target", "maskrcnn_resnet50_fpn")
class MaskRCNNResNet50FPN(_MaskDetector):
    """Mask R-CNN on ResNet-50 (He et al. 2017): boxes and a mask of each object."""

    kind: Literal["maskrcnn_resnet50_fpn"] = "maskrcnn_resnet50_fpn"


@register("target", "maskrcnn_mobilenet_v3_large_fpn")
class MaskRCNNMobileNetV3LargeFPN(_MaskDetector):
    """Mask R-CNN on MobileNetV3, few proposals: the one to train on a CPU."""

    kind: Literal["maskrcnn_mobilenet_v3_large_fpn"] = "maskrcnn_mobilenet_v3_large_fpn"


@register("target", "retinanet_resnet50_fpn")
class RetinaNetResNet50FPN(_Detector):
    """RetinaNet on ResNet-50 (Lin et al. 2017); its scores are not calibrated: hardness by quantile."""

    kind: Literal["retinanet_resnet50_fpn"] = "retinanet_resnet50_fpn"


@register("target", "fcos_resnet50_fpn")
class FCOSResNet50FPN(_Detector):
    """FCOS on ResNet-50 (Tian et al. 2019), without anchors; its scores are not calibrated: hardness by quantile."""

    kind: Literal["fcos_resnet50_fpn"] = "fcos_resnet50_fpn"


def columns_of_classes(
    classes: Sequence[str], outputs: int, labels: Mapping[str, int] | None, *, softmax: bool
) -> list[int]:
    """The detector's own label of each task class.

    Without `labels` the detector has the task's classes behind a background at 0, as torchvision counts, or,
    with sigmoid scores, no background at all.

    Raises:
        RecipeError: a class without a label, a label that the detector does not have, or one given twice.
    """
    if labels is None:
        if outputs == len(classes) + 1:
            return list(range(1, outputs))
        if outputs == len(classes) and not softmax:
            return list(range(outputs))
        raise RecipeError(
            f"target.labels: expected a label for each class, because the detector has {outputs} outputs "
            f"and the task {len(classes)} classes, got none; write labels: {{{classes[0]}: 1, ...}}"
        )
    first = 1 if softmax else 0
    missing = [name for name in classes if name not in labels]
    if missing:
        raise RecipeError(
            f"target.labels: expected a label for each of {', '.join(classes)}, got none for {', '.join(missing)}; "
            "add it"
        )
    columns = [labels[name] for name in classes]
    for name, column in zip(classes, columns, strict=True):
        if not first <= column < outputs:
            background = "; 0 is the background" if softmax else ""
            raise RecipeError(
                f"target.labels.{name}: expected an integer from {first} to {outputs - 1}, got {column}{background}"
            )
    if len(set(columns)) < len(columns):
        raise RecipeError(f"target.labels: expected a different label for each class, got {dict(labels)}")
    return columns
