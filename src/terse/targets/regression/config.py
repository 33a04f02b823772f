"""The recipe's regressor: what of an object it says, and on which backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from terse.config import Component, Count, InputPath, Positive
from terse.registry import register

if TYPE_CHECKING:
    from terse.protocols import Target

__all__ = ["RegressorConfig"]


@register("target", "regressor")
class RegressorConfig(Component["Target"]):
    """The centre, the keypoints or the angle of an image's one object, by heat maps on a torchvision backbone."""

    task: ClassVar[str] = "regression"
    kind: Literal["regressor"] = "regressor"
    quantity: Literal["centre", "keypoints", "angle"] = "centre"
    """Of the object's box; all keypoints; or the direction from the first keypoint to the second."""
    keypoints: Count = 2
    """How many keypoints an object has, for `quantity: keypoints`."""
    backbone: Literal["resnet18", "resnet34", "resnet50", "mobilenet_v3_small", "mobilenet_v3_large"] = "resnet18"
    """Used up to its features of stride 16."""
    tolerance: Positive | None = None
    """The error at which an answer counts as half right; null is a tenth of the image's side, or 15 degrees."""
    weights: InputPath | None = None
    """Tensors of a whole regressor, or of its backbone alone; the log says which it was. None starts from nothing."""

    def build(self, *, classes: tuple[str, ...], canvas_px: int) -> Target:
        """The target, with random or given weights.

        Raises:
            DataError: weights that are not there, or of something else.
        """
        from terse.targets.detector.networks import build_with_weights
        from terse.targets.regression.networks import network
        from terse.targets.regression.target import RegressionTarget

        points = self.keypoints if self.quantity == "keypoints" else 1
        built = network(self.backbone, direction=self.quantity == "angle")
        module, _, found = build_with_weights(built, self.weights, points, canvas_px)
        return RegressionTarget(module, self.quantity, tolerance=self.tolerance, found=found)
