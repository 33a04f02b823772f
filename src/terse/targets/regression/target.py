"""A network that regresses points of an image's one object as a target."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from terse.errors import ShapeError
from terse.modes import eval_mode, frozen
from terse.targets.regression.quantities import Quantity, default_tolerance, distances, true_points
from terse.types import Evidence, Truth

__all__ = ["RegressionTarget"]

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as torchvision's weights want them
_BETA = 0.05  # of the training loss: below this distance it is squared
_EXACT = 1e-12  # of a squared distance, whose logarithm is finite


class RegressionTarget:
    """A module that takes images, normalised as ImageNet's, and returns points `(b, k, 2)`.

    Args:
        module: returns points in fractions of width and height; for an angle one vector, of any length.
        quantity: what the points are (`terse.targets.regression.quantities`).
        tolerance: the error at which p is one half.
        found: what a weights file held.
    """

    def __init__(
        self,
        module: nn.Module,
        quantity: Quantity = "centre",
        *,
        tolerance: float | None = None,
        found: str = "nothing",
    ) -> None:
        self.module = module
        self.quantity: Quantity = quantity
        self.tolerance = default_tolerance(quantity) if tolerance is None else tolerance
        self.found = found

    def evidence(self, images: Float[Tensor, "b 3 h w"], truth: Truth) -> Evidence:
        """What each known point of each pasted object says: p = 1 / (1 + (error / tolerance)^2).

        So log p falls with the squared error near the truth and with the error's logarithm far from it, where no
        single composite outweighs the others.

        Raises:
            DataError: an image without an object or with several, or no keypoints.
            ShapeError: the module's output is not one point for each of the truth's.

        Source: ours; the paper has no regression but of boxes.
        """
        truth = truth.to(images.device)
        with eval_mode(self.module), frozen(self.module):
            found = self._points(images)
        wanted, known = self._wanted(truth, images, found)
        asked, point = (known & (truth.pasted & ~truth.ignore)[:, None]).nonzero(as_tuple=True)
        apart = distances(self.quantity, found, wanted, self.tolerance)[asked, point].clamp(min=_EXACT)
        return Evidence(
            log_p=-apart.log1p(),
            margin=apart.log(),
            log_wrong=apart.log() - apart.log1p(),
            box_error=torch.zeros_like(apart),
            image_index=truth.image_index[asked],
            object_index=asked,
            batch_size=truth.batch_size,
        )

    def train_loss(self, images: Float[Tensor, "b 3 h w"], truth: Truth) -> Float[Tensor, ""]:
        """The mean smooth L1 distance of the known points, in train mode.

        Raises:
            DataError: an image without an object or with several, or no keypoints.
            ShapeError: the module's output is not one point for each of the truth's.
        """
        return self.counted_loss(images, truth)[0]

    def counted_loss(self, images: Float[Tensor, "b 3 h w"], truth: Truth) -> tuple[Float[Tensor, ""], float]:
        """`train_loss`, and the known points that it is a mean over."""
        truth = truth.to(images.device)
        self.module.train()
        found = self._points(images)
        wanted, known = self._wanted(truth, images, found)
        loss = smooth_l1_loss(found, wanted.to(found.dtype), beta=_BETA, reduction="none").sum(dim=-1)
        return torch.where(known, loss, 0.0).sum() / known.sum().clamp(min=1), float(known.sum())

    @torch.no_grad()
    def confidence(self, images: Float[Tensor, "b 3 h w"], truth: Truth) -> Float[Tensor, " n_pasted"]:
        """The mean p of the known points of each pasted object; 1 where none is known, since nothing is asked."""
        truth = truth.to(images.device)
        found = self.predict(images)
        wanted, known = self._wanted(truth, images, found)
        p = 1 / (1 + distances(self.quantity, found, wanted, self.tolerance))
        mean = torch.where(known, p, 0.0).sum(dim=1) / known.sum(dim=1).clamp(min=1)
        return torch.where(known.any(dim=1), mean, 1.0)[truth.pasted]

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k 2"]:
        """The points in fractions of width and height; for an angle one vector of length 1."""
        with eval_mode(self.module):
            return self._points(images)

    def _points(self, images: Tensor) -> Tensor:
        mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (_MEAN, _STD))
        found = self.module(((images - mean) / std).contiguous(memory_format=torch.channels_last))
        if not isinstance(found, Tensor) or found.ndim != 3 or found.shape[::2] != (len(images), 2):
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ShapeError(f"target: expected points of the shape ({len(images)}, points, 2), got {got}")
        points: Tensor = found.to(torch.promote_types(found.dtype, torch.float32))
        if self.quantity == "angle":
            points = points / points.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        return points

    def _wanted(self, truth: Truth, images: Tensor, found: Tensor) -> tuple[Tensor, Bool[Tensor, "n k"]]:
        wanted, known = true_points(self.quantity, truth, (images.shape[-2], images.shape[-1]))
        if wanted.shape[1] != found.shape[1]:
            raise ShapeError(
                f"target.keypoints: expected as many points as the data's objects have, got {found.shape[1]} from the "
                f"network and {wanted.shape[1]} in the data"
            )
        return wanted, known
