"""A torchvision detector as a target: evidence of the pasted objects, training loss, hardness, predictions.

Task classes are 0 to C-1 everywhere in terse; a detector's columns are its own (torchvision: 1 to C, 0 is
background). The two meet in this file alone.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from terse.errors import TerseError, reason_of
from terse.targets.detector.config import columns_of_classes
from terse.targets.detector.heads import Heads, Matched, heads_of
from terse.targets.detector.modes import inference, matched_anchors, several_images, training
from terse.targets.overlaps import best_scores
from terse.types import Evidence, Truth

__all__ = ["DetectorTarget", "wrap_detector"]

_SMALLEST_PX = 1.0  # a box below one pixel a side holds nothing to learn, and its encoding is infinite


class DetectorTarget:
    """A torchvision SSD, RetinaNet, FCOS or GeneralizedRCNN (custom anchors and class counts included).

    `columns` gives the detector's own label of each task class, `box_weight` is Eq. 1's lambda, and
    `found` says what a weights file held: `detector`, `backbone`, or `nothing` where there was none; `named` the label
    of each class, in small letters, that the weights are known to have, as far as it is known.
    """

    masks = False  # whether it has a mask head that learns too

    def __init__(
        self,
        module: nn.Module,
        classes: Sequence[str],
        columns: Sequence[int],
        box_weight: float,
        found: str = "nothing",
        named: Mapping[str, int] | None = None,
    ) -> None:
        self.module = module
        self.classes = tuple(classes)
        self.columns = tuple(columns)
        self.box_weight = box_weight
        self.found = found
        self.named = dict(named or {})
        self._heads: Heads = heads_of(module, masks=self.masks)

    @property
    def calibrated(self) -> bool:
        """Whether scores are softmax probabilities; sigmoid scores of focal training are not (hardness)."""
        return not self._heads.sigmoid

    def evidence(self, images: Float[Tensor, "b 3 h w"], truth: Truth) -> Evidence:
        """What each anchor or proposal that is matched to a pasted object says of it.

        Objects that are ignored or below a pixel have no match: hiding earns nothing.

        Source: paper 3.2, Eq. 1; the rule for objects no anchor matches is Liu et al. 2016, the rest ours.
        """
        truth = truth.to(images.device)
        attacked = (truth.pasted & ~truth.ignore & _visible(truth.boxes_px)).nonzero().flatten()
        if not len(attacked):
            nothing = images.flatten()[:0]  # a loss of it is 0 and differentiable
            return Evidence(nothing, nothing, nothing, nothing, attacked, attacked, truth.batch_size, self.box_weight)
        columns = self._columns_of(truth.labels[attacked])
        with inference(self.module):
            matched = self._heads.match(images, truth.boxes_px[attacked].detach(), truth.image_index[attacked], columns)
        return Evidence.of_logits(
            matched.logits,
            columns[matched.box],
            truth,
            attacked[matched.box],
            sigmoid=self._heads.sigmoid,
            box_error=self._box_error(matched, truth, attacked),
            box_weight=self.box_weight,
        )

    def train_loss(self, images: Float[Tensor, "b 3 h w"], truth: Truth) -> Float[Tensor, ""]:
        """The sum of torchvision's own training losses; ignored objects and boxes below a pixel are left out.

        Raises:
            DataError: a batch of one image in a network that normalises one-pixel maps over the batch.

        Source: paper 3.2.
        """
        return self.counted_loss(images, truth)[0]

    def counted_loss(self, images: Float[Tensor, "b 3 h w"], truth: Truth) -> tuple[Float[Tensor, ""], float]:
        """`train_loss`, and what it is a mean over: matched anchors in SSD and FCOS, else images.

        RetinaNet divides by matched anchors image by image, R-CNN by samples of which each image has about as many.
        """
        truth = truth.to(images.device)
        kept = ~truth.ignore & _visible(truth.boxes_px)
        counts = torch.bincount(truth.image_index[kept], minlength=len(images)).tolist()
        boxes = torch.split(truth.boxes_px[kept], counts)
        labels = torch.split(self._columns_of(truth.labels[kept]), counts)
        parts = zip(boxes, labels, self._more(truth, kept, counts), strict=True)
        targets = [{"boxes": box, "labels": label, **more} for box, label, more in parts]
        with training(self.module), several_images(len(images)), matched_anchors(self.module) as matched:
            losses: dict[str, Tensor] = self.module(list(images), targets)
        counted = float(len(images)) if matched is None else float(sum(matched))
        return torch.stack(list(losses.values())).sum(), counted

    @torch.no_grad()
    def confidence(self, images: Float[Tensor, "b 3 h w"], truth: Truth) -> Float[Tensor, " n_pasted"]:
        """Of each pasted object, the highest score of its class among predictions with IoU >= 0.5, before NMS.

        0 where no prediction overlaps it so.

        Source: ours (the paper's p is the image's, see `evaluation.hardness`).
        """
        with inference(self.module):
            return best_scores(self._heads.predict(images), truth.to(images.device), self.columns, images)

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "b 3 h w"]) -> list[dict[str, Tensor]]:
        """What torchvision's own post-processing leaves: boxes in pixels, task classes, scores, best first."""
        with inference(self.module):
            found = self.module(list(images))
        task = {column: label for label, column in enumerate(self.columns)}
        kept = []
        for one in found:
            labels = torch.tensor(
                [task.get(column, -1) for column in one["labels"].tolist()], device=images.device, dtype=torch.int64
            )
            known = labels >= 0
            kept.append({name: part[known] for name, part in one.items()} | {"labels": labels[known]})
        return kept

    def _box_error(self, matched: Matched, truth: Truth, attacked: Int64[Tensor, " n"]) -> Float[Tensor, " m"]:
        """The box error of each match to one of these objects."""
        return smooth_l1_loss(matched.codes, matched.wanted, reduction="none").sum(-1)

    def _more(self, truth: Truth, kept: Bool[Tensor, " n"], counts: list[int]) -> list[dict[str, Tensor]]:
        """What the module learns from beside boxes and labels, an image."""
        return [{}] * len(counts)

    def _columns_of(self, labels: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
        return torch.tensor(self.columns, device=labels.device)[labels]


def wrap_detector(
    module: nn.Module,
    classes: Sequence[str],
    canvas_px: int,
    labels: Mapping[str, int] | None = None,
    box_weight: float = 1.0,
) -> DetectorTarget:
    """A target from any module with torchvision's detection interface; one image is run through it to see.

    Raises:
        TerseError: the module is no torchvision detector, or does not take such images.
        RecipeError: `labels` do not fit its classes.
    """
    heads = heads_of(module)
    parameter = next(module.parameters(), None)
    device = None if parameter is None else parameter.device
    with torch.no_grad(), inference(module):
        try:
            scores = next(iter(heads.predict(torch.zeros(1, 3, canvas_px, canvas_px, device=device)))).scores
        except Exception as error:
            raise TerseError(
                f"target: expected a detector that takes images of {canvas_px} x {canvas_px} px, "
                f"got {type(module).__name__}, which raised {type(error).__name__}: {reason_of(error)}; try it on one image"
            ) from error
    columns = columns_of_classes(classes, scores.shape[1], labels, softmax=not heads.sigmoid)
    return DetectorTarget(module, classes, columns, box_weight)


def _visible(boxes_px: Float[Tensor, "n 4"]) -> Bool[Tensor, " n"]:
    return ((boxes_px[:, 2:] - boxes_px[:, :2]) >= _SMALLEST_PX).all(1)
