"""What can be regressed of an object, as points: the truth of it, and how far an answer is from it.

A centre and keypoints are points in fractions of the image's width and height. An angle is one point on the unit circle,
x to the right and y down: the direction from the object's first keypoint to its second.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from terse.errors import DataError
from terse.types import Truth

__all__ = ["Quantity", "default_tolerance", "distances", "errors", "true_points"]

Quantity = Literal["centre", "keypoints", "angle"]
_LEAST_PX = 1.0  # between two keypoints that have a direction


def default_tolerance(quantity: Quantity) -> float:
    """The error at which an answer counts as half right: a tenth of the image's side, or 15 degrees."""
    return 15.0 if quantity == "angle" else 0.1


def true_points(
    quantity: Quantity, truth: Truth, size_px: tuple[int, int]
) -> tuple[Float[Tensor, "n k 2"], Bool[Tensor, "n k"]]:
    """The points of each object in an image of this height and width, and which of them are known.

    Raises:
        DataError: an image without an object or with several, or no keypoints where they are asked for.
    """
    if not torch.equal(truth.image_index.cpu(), torch.arange(truth.batch_size)):
        raise DataError(
            f"truth: expected one object an image for a target of regression, got {len(truth.labels)} in "
            f"{truth.batch_size} images; give it images of single objects, or crop them"
        )
    size = truth.boxes_px.new_tensor([size_px[1], size_px[0]])
    if quantity == "centre":
        centre = (truth.boxes_px[:, :2] + truth.boxes_px[:, 2:]) / 2 / size
        return centre[:, None], ~truth.ignore[:, None]
    if truth.keypoints is None:
        raise DataError(
            f"truth.keypoints: expected keypoints for a target that regresses {quantity}, got none; give the images' "
            "annotations and the foregrounds keypoints, or set target.quantity: centre"
        )
    points = truth.keypoints[..., :2]
    known = (truth.keypoints[..., 2] > 0) & ~truth.ignore[:, None]
    if quantity == "keypoints":
        return points / size, known
    if points.shape[1] < 2:
        raise DataError(
            f"truth.keypoints: expected two keypoints, from the first of which to the second an angle is, "
            f"got {points.shape[1]}; set target.quantity: keypoints"
        )
    arrow = points[:, 1] - points[:, 0]
    length = arrow.norm(dim=1, keepdim=True)
    long = (length[:, 0] >= _LEAST_PX) & known[:, :2].all(dim=1)
    return (arrow / length.clamp(min=_LEAST_PX))[:, None], long[:, None]


def distances(
    quantity: Quantity, found: Float[Tensor, "n k 2"], wanted: Float[Tensor, "n k 2"], tolerance: float
) -> Float[Tensor, "n k"]:
    """The squared distance of each point over that of the tolerance: 1 where the error is as large, differentiable."""
    chord = 2 * torch.sin(torch.deg2rad(torch.tensor(tolerance / 2))).item() if quantity == "angle" else tolerance
    squared: Tensor = (found - wanted).square().sum(dim=-1) / chord**2
    return squared


def errors(quantity: Quantity, found: Float[Tensor, "n k 2"], wanted: Float[Tensor, "n k 2"]) -> Float[Tensor, "n k"]:
    """The distance of each point in fractions of the image's side; of an angle the degrees between."""
    if quantity != "angle":
        distance: Tensor = (found - wanted).norm(dim=-1)
        return distance
    cross = found[..., 0] * wanted[..., 1] - found[..., 1] * wanted[..., 0]
    degrees: Tensor = torch.rad2deg(torch.atan2(cross.abs(), (found * wanted).sum(dim=-1)))
    return degrees
