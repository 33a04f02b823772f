"""The values that travel between the players: foregrounds, backgrounds, truth, composites.

All are frozen and batched; nothing here holds a network. Conventions (NCHW, RGB in [0, 1], straight alpha,
half-open xyxy boxes in pixels) are stated once, in `terse.compositing`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid

from terse.errors import ShapeError

__all__ = ["Backgrounds", "Composites", "Costs", "Evidence", "Foregrounds", "Truth", "ViewSphere"]


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of a batch of images, flat over its objects.

    A classifier's batch has exactly one object an image, in the order of the images. The optional fields are None
    where the task or the source does not have them.
    """

    labels: Int64[Tensor, " n"]  # index in the task's classes
    boxes_px: Float[Tensor, "n 4"]  # half-open xyxy of the visible part
    image_index: Int64[Tensor, " n"]  # the image each object is in, ascending
    pasted: Bool[Tensor, " n"]  # or behind an occluder. False: it came with the background, or the image is real
    ignore: Bool[Tensor, " n"]  # crowd, difficult, or below the visibility floor: neither right nor wrong
    batch_size: int
    masks: Bool[Tensor, "n h w"] | None = None  # of the visible part
    keypoints: Float[Tensor, "n k 3"] | None = None  # x and y in pixels, and how visible; all 0 is not annotated
    values: Float[Tensor, "n v"] | None = None  # numbers to regress

    @staticmethod
    def of_images(labels: Int64[Tensor, " n"], boxes_px: Float[Tensor, "n 4"] | None = None) -> "Truth":
        """The truth of real images that hold one object each."""
        n = len(labels)
        no = torch.zeros(n, dtype=torch.bool, device=labels.device)
        boxes = torch.zeros(n, 4, device=labels.device) if boxes_px is None else boxes_px
        return Truth(labels, boxes, torch.arange(n, device=labels.device), no, no, n)

    @staticmethod
    def empty(batch_size: int) -> "Truth":
        """The truth of images without any object."""
        none = torch.zeros(0, dtype=torch.int64)
        no = torch.zeros(0, dtype=torch.bool)
        return Truth(none, torch.zeros(0, 4), none, no, no, batch_size)

    @staticmethod
    def join(parts: Sequence["Truth"]) -> "Truth":
        """The truth of consecutive batches as one batch.

        Raises:
            ShapeError: some parts have an optional field for their objects and others do not.
        """
        starts = np.cumsum([0, *(part.batch_size for part in parts)])
        shifted = [part.image_index + int(start) for part, start in zip(parts, starts, strict=False)]
        joined: dict[str, Any] = {name: _joined(name, parts) for name in _per_object()}
        return Truth(**joined, image_index=torch.cat(shifted), batch_size=int(starts[-1]))

    def take(self, images: Sequence[int] | Int64[np.ndarray, " m"] | Int64[Tensor, " m"]) -> "Truth":
        """The truth of some of the images, in the order given."""
        device = self.image_index.device
        chosen = torch.as_tensor(images, dtype=torch.int64, device=device)
        first = torch.searchsorted(self.image_index, chosen)
        counts = torch.searchsorted(self.image_index, chosen, right=True) - first
        index = torch.repeat_interleave(torch.arange(len(chosen), device=device), counts)
        rows = torch.arange(len(index), device=device) + (first - counts.cumsum(0) + counts)[index]
        return self._map(lambda column: column[rows], image_index=index, batch_size=len(chosen))

    def to(self, device: torch.device | str) -> "Truth":
        """The same on another device."""
        return self._map(lambda column: column.to(device), image_index=self.image_index.to(device))

    def by_image(self, order: Int64[Tensor, " n"]) -> "Truth":
        """The objects in this order, in which their images ascend."""
        return self._map(lambda column: column[order], image_index=self.image_index[order])

    def with_only(self, *optional: str) -> "Truth":
        """The same without the optional fields that are not named: what two batches need to be joined."""
        dropped: dict[str, Any] = dict.fromkeys(name for name in _OPTIONAL if name not in optional)
        return replace(self, **dropped)

    def _map(self, change: Callable[[Tensor], Tensor], **others: Any) -> "Truth":
        """Every column of the objects changed alike."""
        columns = {name: getattr(self, name) for name in _per_object()}
        changed: dict[str, Any] = {name: None if column is None else change(column) for name, column in columns.items()}
        return replace(self, **changed, **others)


_OPTIONAL = ("masks", "keypoints", "values")


def _per_object() -> tuple[str, ...]:
    """The fields that hold one row an object, in the order of `image_index`."""
    return tuple(one.name for one in fields(Truth) if one.name not in ("image_index", "batch_size"))


def _joined(name: str, parts: Sequence[Truth]) -> Tensor | None:
    columns: list[Tensor | None] = [getattr(part, name) for part in parts]
    if name == "keypoints":
        columns = _with_unannotated(columns, parts)
    there = [column for column in columns if column is not None]
    without = sum(column is None and len(part.labels) > 0 for column, part in zip(columns, parts, strict=True))
    if not there or not without:
        return torch.cat(there) if there else None
    raise ShapeError(
        f"{name}: expected all parts of a batch to have them or none, got {len(there)} with and {without} without; "
        "give them to every part"
    )


def _with_unannotated(columns: Sequence[Tensor | None], parts: Sequence[Truth]) -> list[Tensor | None]:
    """Keypoints of every part, zeros (not annotated) in those without: composites beside real images have none."""
    known = next((column for column in columns if column is not None), None)
    if known is None:
        return list(columns)
    return [
        known.new_zeros(len(part.labels), *known.shape[1:]) if column is None else column
        for column, part in zip(columns, parts, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class ViewSphere:
    """What a 3-D model looks like from all around: straight RGBA views on one scale.

    Rows rise from the lowest elevation to the highest, evenly; columns go round to the model's right, the first being
    its front.
    """

    tiles: UInt8[np.ndarray, "rows columns side side 4"]
    elevations_deg: tuple[float, float]  # of the first and the last row


@dataclass(frozen=True, slots=True)
class Foregrounds:
    """A batch of RGB(A) cut-outs on one square patch each, centred.

    `images` may be `(b, c, 1, 1)`: a constant colour, as with digits, whose ink is their alpha. `hull` holds
    the outermost points of each mask (`poses.maps.support_points`), in [-1, 1] of the patch. So are the x and y of
    `keypoints`, None where the source has none; the third number says how visible each is, 0 is not annotated.
    """

    images: Float[Tensor, "b c h w"]
    alpha: Float[Tensor, "b 1 fh fw"]
    labels: Int64[Tensor, " b"]
    hull: Float[Tensor, "b points 2"]
    keypoints: Float[Tensor, "b k 3"] | None = None
    views: tuple[ViewSphere | None, ...] | None = None  # of 3-D models, whose hull holds all of their views

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> "Foregrounds":
        """The same on another device."""
        return self._map(lambda column: column.to(device), self.views)

    def take(self, rows: Int64[np.ndarray, " m"]) -> "Foregrounds":
        """Some of them, in the order given."""
        chosen = torch.from_numpy(rows).to(self.alpha.device)
        views = None if self.views is None else tuple(self.views[row] for row in rows.tolist())
        return self._map(lambda column: column[chosen], views)

    def _map(self, change: Callable[[Tensor], Tensor], views: tuple[ViewSphere | None, ...] | None) -> "Foregrounds":
        columns = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "views"}
        changed: dict[str, Any] = {name: None if column is None else change(column) for name, column in columns.items()}
        return Foregrounds(**changed, views=views)


@dataclass(frozen=True, slots=True)
class Backgrounds:
    """A batch of images to paste on, with the objects that they hold already.

    `truth.masks` is there where the source has masks; in it, an object without a mask is its filled box.
    """

    images: Float[Tensor, "b c h w"]
    truth: Truth

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> "Backgrounds":
        """The same on another device."""
        return Backgrounds(self.images.to(device), self.truth.to(device))


@dataclass(frozen=True, slots=True)
class Composites:
    """What placements render to.

    `truth` lists the backgrounds' own objects and the pasted ones; `modal` and `amodal` masks and
    `visible_fraction` follow its order. Masks are None where the caller did not ask for them.
    """

    images: Float[Tensor, "b c h w"]
    truth: Truth
    visible_fraction: Float[Tensor, " n"]
    modal: Bool[Tensor, "n h w"] | None = None
    amodal: Bool[Tensor, "n h w"] | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a target says of the truth of its pasted objects, in the form that every objective is built from.

    Flat over matches: each anchor or proposal that answers for a pasted object; a classifier has one match an image.
    All values are differentiable in the pixels. An image without a match counts 0.
    """

    log_p: Float[Tensor, " m"]  # log probability of the true class
    margin: Float[Tensor, " m"]  # best wrong logit less the true one; sigmoid heads: minus the logit
    log_wrong: Float[Tensor, " m"]  # log(1 - p), by logsumexp over the wrong logits: exact where p rounds to 1
    box_error: Float[Tensor, " m"]  # 0 for classifiers
    image_index: Int64[Tensor, " m"]
    object_index: Int64[Tensor, " m"]  # row of the truth
    batch_size: int
    box_weight: float = 1.0  # lambda of Eq. 1

    @staticmethod
    def of_logits(
        logits: Float[Tensor, "m columns"],
        column: Int64[Tensor, " m"],
        truth: Truth,
        object_index: Int64[Tensor, " m"],
        *,
        sigmoid: bool = False,
        box_error: Float[Tensor, " m"] | None = None,
        box_weight: float = 1.0,
    ) -> "Evidence":
        """The evidence of matches with these logits.

        Args:
            logits: of each match, float32.
            column: of the true class.
            truth: of the batch.
            object_index: the object of `truth` that each match answers for.
            sigmoid: whether each column has a probability of its own; else they share one by softmax.
            box_error: of each match; None is 0.
            box_weight: lambda of Eq. 1.
        """
        true = logits.gather(1, column[:, None]).flatten()
        if sigmoid:
            log_p, margin, log_wrong = logsigmoid(true), -true, logsigmoid(-true)
        else:
            wrong = logits.scatter(1, column[:, None], -torch.inf)
            log_p = log_softmax(logits, dim=-1).gather(1, column[:, None]).flatten()
            margin = wrong.amax(dim=1) - true
            log_wrong = wrong.logsumexp(dim=1) - logits.logsumexp(dim=1)
        return Evidence(
            log_p=log_p,
            margin=margin,
            log_wrong=log_wrong,
            box_error=torch.zeros_like(log_p) if box_error is None else box_error,
            image_index=truth.image_index[object_index],
            object_index=object_index,
            batch_size=truth.batch_size,
            box_weight=box_weight,
        )


@dataclass(slots=True)
class Costs:
    """What an arm spent, in images (a batch of 64 is 64), measuring for reports left out."""

    target_forwards: int = 0
    target_backwards: int = 0
    judging_passes: int = 0  # of those, what was spent to propose and to choose; a backward counts as two
    synthesizer_forwards: int = 0
    seconds: dict[str, float] = field(default_factory=dict)  # by phase
