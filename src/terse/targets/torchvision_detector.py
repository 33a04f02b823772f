"""torchvision's detectors by name: what a recipe can say about them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from terse.config import Component, Count, InputPath
from terse.registry import register

__all__ = ["SSDLiteMobileNetV2"]


class _Detector(Component):
    family = "target"
    weights: InputPath | None = None
    """Tensors of a whole detector, or of its backbone alone; the log says which it was. None starts from nothing."""
    image_size_px: Count | None = None
    """Side the detector resizes images to; null takes the canvas, so that nothing is resized."""
    labels: dict[str, int] | None = None
    """The detector's own label of each class, where they are not the task's classes counted from 1."""
    lambda_box: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the box error in Eq. 1."""

    def build(self, *, classes: tuple[str, ...], canvas_px: int) -> Any:
        """The target for these classes on this canvas.

        Raises:
            RecipeError: labels that do not fit.
            DataError: weights that are not there, or of something else.
        """
        from terse.targets.detector_labels import columns_of_classes
        from terse.targets.detector_networks import NETWORKS
        from terse.targets.detector_target import DetectorTarget
        from terse.targets.detector_weights import build_with_weights

        size_px = self.image_size_px or canvas_px
        network = NETWORKS[self.kind]
        # torchvision counts a background in every detector, sigmoid scores or not.
        module, outputs, found = build_with_weights(network, self.weights, len(classes) + 1, size_px)
        columns = columns_of_classes(classes, outputs, self.labels, softmax=network.softmax)
        return DetectorTarget(module, classes, columns, self.lambda_box, found)


@register("target", "ssdlite_mobilenet_v2")
class SSDLiteMobileNetV2(_Detector):
    """SSDLite on MobileNetV2 (Sandler et al. 2018): the one to train on a CPU."""

    kind: Literal["ssdlite_mobilenet_v2"] = "ssdlite_mobilenet_v2"
    image_size_px: Count | None = 320
