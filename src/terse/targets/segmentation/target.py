"""A network of semantic segmentation as a target: each pixel of a pasted object answers for it.

Task classes are 0 to C-1 everywhere in terse; the network's outputs are its own, with the background in 0. The two
meet in this file alone.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from terse.compositing.truth import NEITHER, class_maps
from terse.errors import DataError, ShapeError
from terse.modes import eval_mode, frozen
from terse.targets.detector.modes import folded, several_images
from terse.types import Evidence, Truth

__all__ = ["SegmentationTarget"]

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as torchvision's weights want them
_AUXILIARY_WEIGHT = 0.5  # torchvision's reference training
_NEARBY = 0.5  # of an object's box to each side, where pixels may be taken for the object


class SegmentationTarget:
    """A module that takes images, normalised as ImageNet's, and returns logits of each pixel.

    Args:
        module: returns logits `(b, outputs, h, w)`, or a mapping that has them as `out`, and as `aux` those of a head
            that helps training.
        classes: the task's.
        columns: the output of each class; None counts them from 1. Output 0 is the background.
        shape_weight: weight in Eq. 1 of 1 - IoU of each pasted object.
        step_px: images are padded to a multiple of it.
        found: what a weights file held.
        named: the output of each class, in small letters, that the weights are known to have, as far as it is known.
    """

    def __init__(
        self,
        module: nn.Module,
        classes: Sequence[str],
        columns: Sequence[int] | None = None,
        *,
        shape_weight: float = 1.0,
        step_px: int = 1,
        found: str = "nothing",
        named: Mapping[str, int] | None = None,
    ) -> None:
        self.module = module
        self.classes = tuple(classes)
        self.columns = tuple(range(1, len(self.classes) + 1) if columns is None else columns)
        self.shape_weight = shape_weight
        self.step_px = step_px
        self.found = found
        self.named = dict(named or {})

    def evidence(self, images: Float[Tensor, "b 3 h w"], truth: Truth) -> Evidence:
        """What each pixel of each pasted object says of it; its box error is 1 - IoU of the object, by soft counts.

        Objects that are ignored or without a pixel have no match: hiding earns nothing.

        Raises:
            DataError: the truth has no masks.

        Source: ours; a pixel stands where paper 3.2 has an anchor, and 1 - IoU where it has the box error.
        """
        truth = truth.to(images.device)
        masks = _masks(truth)
        attacked = (truth.pasted & ~truth.ignore & masks.any(dim=(1, 2))).nonzero().flatten()
        if not len(attacked):
            nothing = images.flatten()[:0]  # a loss of it is 0 and differentiable
            return Evidence(nothing, nothing, nothing, nothing, attacked, attacked, truth.batch_size, self.shape_weight)
        with eval_mode(self.module), frozen(self.module), folded(self.module):
            logits, _ = self._logits(images)
        columns = self._columns_of(truth.labels[attacked])
        own, y, x = masks[attacked].nonzero(as_tuple=True)
        p = logits.softmax(dim=1)[truth.image_index[attacked], columns]
        return Evidence.of_logits(
            logits[truth.image_index[attacked][own], :, y, x],
            columns[own],
            truth,
            attacked[own],
            box_error=(1 - _iou(p, masks[attacked], self._nearby(truth, attacked)))[own],
            box_weight=self.shape_weight,
        )

    def train_loss(self, images: Float[Tensor, "b 3 h w"], truth: Truth) -> Float[Tensor, ""]:
        """Mean cross-entropy of the pixels, in train mode; those of ignored objects are left out.

        Raises:
            DataError: the truth has no masks, or a batch of one image in a network that normalises one pixel an image.
        """
        return self.counted_loss(images, truth)[0]

    def counted_loss(self, images: Float[Tensor, "b 3 h w"], truth: Truth) -> tuple[Float[Tensor, ""], float]:
        """`train_loss`, and the pixels that it is a mean over."""
        truth = truth.to(images.device)
        _masks(truth)
        known = class_maps(truth, (images.shape[-2], images.shape[-1]))
        output = torch.tensor([NEITHER, 0, *self.columns], device=images.device)[known + 1]
        self.module.train()
        with several_images(len(images)):
            logits, auxiliary = self._logits(images)
        loss = _cross_entropy(logits, output)
        loss = loss if auxiliary is None else loss + _AUXILIARY_WEIGHT * _cross_entropy(auxiliary, output)
        return loss, float((output != NEITHER).sum())

    @torch.no_grad()
    def confidence(self, images: Float[Tensor, "b 3 h w"], truth: Truth) -> Float[Tensor, " n_pasted"]:
        """Of each pasted object, the IoU of its mask and the pixels on and near it that are taken for its class.

        Pixels of the class's other objects do not count.

        Raises:
            DataError: the truth has no masks.

        Source: ours.
        """
        truth = truth.to(images.device)
        masks, asked = _masks(truth), truth.pasted.nonzero().flatten()
        with eval_mode(self.module), folded(self.module):
            best = self._logits(images)[0].argmax(dim=1)
        taken = best[truth.image_index[asked]] == self._columns_of(truth.labels[asked])[:, None, None]
        return _iou(taken.float(), masks[asked], self._nearby(truth, asked))

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b one_plus_classes h w"]:
        """Softmax probabilities of each pixel: the background, then the classes.

        The background's logit is the highest of all outputs that the task does not know, so that a pixel is taken for
        what the network itself takes it for.
        """
        with eval_mode(self.module), folded(self.module):
            logits = self._logits(images)[0]
        columns = list(self.columns)
        others = torch.ones(logits.shape[1], dtype=torch.bool, device=logits.device)
        others[columns] = False
        background = logits[:, others].amax(dim=1, keepdim=True)
        return torch.cat([background, logits[:, columns]], dim=1).softmax(dim=1)

    def _logits(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """The logits of each pixel, and those of the auxiliary head where there is one."""
        height, width = images.shape[-2:]
        mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (_MEAN, _STD))
        more = (0, -width % self.step_px, 0, -height % self.step_px)
        padded = functional.pad(images, more, mode="replicate") if any(more) else images
        found = self.module(((padded - mean) / std).contiguous(memory_format=torch.channels_last))
        outputs = found if isinstance(found, dict) else {"out": found}
        logits = outputs.get("out")
        if not isinstance(logits, Tensor) or logits.ndim != 4 or logits.shape[::2] != padded.shape[::2]:
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(found).__name__
            raise ShapeError(
                f"target: expected logits of the shape ({len(images)}, outputs, {padded.shape[-2]}, {padded.shape[-1]}), "
                f"got {got}; return one row of logits a pixel, at the image's size"
            )
        if logits.shape[1] <= max(self.columns):
            raise ShapeError(
                f"target: expected at least {max(self.columns) + 1} outputs, the background's and one for each of "
                f"{', '.join(self.classes)}, got {logits.shape[1]}"
            )
        wide = [
            None if part is None else part[..., :height, :width].to(torch.promote_types(part.dtype, torch.float32))
            for part in (logits, outputs.get("aux"))
        ]
        assert wide[0] is not None
        return wide[0], wide[1]

    def _nearby(self, truth: Truth, rows: Int64[Tensor, " k"]) -> Bool[Tensor, "k h w"]:
        """The pixels on and around each object that none of its class's other objects, and nothing unsure, has."""
        masks = _masks(truth)
        height, width = masks.shape[-2:]
        box = truth.boxes_px[rows]
        margin = _NEARBY * (box[:, 2:] - box[:, :2])
        low, high = box[:, :2] - margin, box[:, 2:] + margin
        x, y = (torch.arange(side, device=masks.device) + 0.5 for side in (width, height))
        across = (x >= low[:, :1]) & (x < high[:, :1])
        down = (y >= low[:, 1:]) & (y < high[:, 1:])
        near = down[:, :, None] & across[:, None, :]
        together = truth.image_index[rows][:, None] == truth.image_index[None]
        alike = together & ((truth.labels[rows][:, None] == truth.labels[None]) | truth.ignore[None])
        for k, row in enumerate(rows.tolist()):
            others = alike[k].clone()
            others[row] = False
            if others.any():
                near[k] &= ~masks[others].any(dim=0)
        return near | masks[rows]

    def _columns_of(self, labels: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
        return torch.tensor(self.columns, device=labels.device)[labels]


def _iou(p: Float[Tensor, "k h w"], masks: Bool[Tensor, "k h w"], near: Bool[Tensor, "k h w"]) -> Float[Tensor, " k"]:
    """The IoU of masks with what is taken for them, by probabilities; 0 for an empty mask."""
    shared = torch.where(masks, p, 0.0).sum(dim=(1, 2))
    beyond = torch.where(near & ~masks, p, 0.0).sum(dim=(1, 2))
    return shared / (masks.sum(dim=(1, 2)) + beyond).clamp(min=1)


def _cross_entropy(logits: Tensor, output: Tensor) -> Tensor:
    """The mean over the pixels that count; 0 where none does."""
    total = functional.cross_entropy(logits, output, ignore_index=NEITHER, reduction="sum")
    return total / (output != NEITHER).sum().clamp(min=1)


def _masks(truth: Truth) -> Bool[Tensor, "n h w"]:
    if truth.masks is None:
        raise DataError(
            "truth.masks: expected a mask of each object for a target of segmentation, got none; give the images' "
            "annotations masks (`terse masks` makes them of boxes), or take a detector"
        )
    return truth.masks
