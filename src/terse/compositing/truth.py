"""What is true of an image after pasting: labels, visible boxes, modal and amodal masks."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from terse.types import Backgrounds, Truth

__all__ = [
    "NEITHER",
    "Layer",
    "Visible",
    "boxes_of_masks",
    "class_maps",
    "span_of_hits",
    "truth_of_layers",
    "visible_shares",
]

_INSIDE = 0.5
_OCCLUDED = 0.1  # of an object, hidden by an occluder
NEITHER = -1
"""In `class_maps`, a pixel that counts neither as right nor as wrong."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One paste in each of some images."""

    rows: Int64[Tensor, " m"] | None  # the images it is in; None is all of them
    labels: Int64[Tensor, " m"]
    alpha: Float[Tensor, "m 1 h w"]
    whole_px: Float[Tensor, " m"]  # the object's area had nothing cut it
    labelled: bool = True  # False for distractors, occluders and artefact patches, which only cover
    occludes: bool = False  # what it hides of a background's object makes that one of the objects asked about
    keypoints: Float[Tensor, "m k 3"] | None = None  # in pixels of the canvas, and how visible


@dataclass(frozen=True, slots=True)
class Visible:
    """The truth and, in its order, how much of each object is seen and where."""

    truth: Truth
    fraction: Float[Tensor, " n"]
    modal: Bool[Tensor, "n h w"]
    amodal: Bool[Tensor, "n h w"]


def truth_of_layers(
    background: Backgrounds, layers: Sequence[Layer], min_visible: float = 0.0, fields: Sequence[str] = ()
) -> Visible:
    """Boxes from masks after occlusion and truncation; what hides below `min_visible` is to be ignored.

    The backgrounds' own objects lie below every layer, and lose what is pasted over them; one without a mask
    counts as its filled box, and is to be ignored where masks are asked for. One of which an occluder hides a tenth or
    more counts as pasted: the composite asks about it.

    Args:
        background: what was pasted on.
        layers: what was pasted, lowest first.
        min_visible: share of an object that has to be seen.
        fields: which optional fields the truth has: `masks`, `keypoints`.

    Source: ours; the paper pastes one object on backgrounds without any.
    """
    device = background.images.device
    masks, labels, index, pasted, ignore, whole, depth = _own_objects(background)
    hides: list[tuple[Tensor, Tensor, int, bool]] = []
    for number, layer in enumerate(layers):
        inside = layer.alpha[:, 0] > _INSIDE
        rows = torch.arange(len(inside), device=device) if layer.rows is None else layer.rows
        hides.append((rows, inside, number, layer.occludes))
        if layer.labelled:
            masks.append(inside)
            labels.append(layer.labels)
            index.append(rows)
            pasted.append(torch.ones_like(rows, dtype=torch.bool))
            ignore.append(torch.zeros_like(rows, dtype=torch.bool))
            whole.append(layer.whole_px)
            depth.append(torch.full_like(rows, number))
    amodal, in_image, level = torch.cat(masks), torch.cat(index), torch.cat(depth)
    modal = amodal.clone() if len(layers) > 1 or len(masks[0]) else amodal
    own_left = modal[: len(masks[0])].sum(dim=(1, 2))
    asked = torch.cat(pasted)
    for rows, inside, number, occludes in hides:
        for_image = torch.full((len(background),), -1, device=device, dtype=torch.int64)
        for_image[rows] = torch.arange(len(rows), device=device)
        below = torch.nonzero((level < number) & (for_image[in_image] >= 0)).flatten()
        if len(below):
            modal[below] &= ~inside[for_image[in_image[below]]]
        if len(masks[0]):
            left = modal[: len(masks[0])].sum(dim=(1, 2))
            if occludes:
                asked[: len(left)] |= own_left - left >= _OCCLUDED * whole[0].clamp(min=1)
            own_left = left
    area = torch.cat(whole).clamp(min=1)
    fraction = (modal.sum(dim=(1, 2)) / area).clamp(max=1)
    skip = torch.cat(ignore) | (fraction <= 0) | (fraction < min_visible)
    if "masks" in fields and background.truth.masks is None:
        skip = skip | (level < 0)
    truth = Truth(
        torch.cat(labels),
        boxes_of_masks(modal),
        in_image,
        asked,
        skip,
        len(background),
        masks=modal if "masks" in fields else None,
        keypoints=_keypoints(background, layers) if "keypoints" in fields else None,
    )
    if len(masks) == 2 and len(masks[0]) == 0 and layers[0].rows is None:
        return Visible(truth, fraction, modal, amodal)
    order = torch.argsort(in_image, stable=True)
    return Visible(truth.by_image(order), fraction[order], modal[order], amodal[order])


def visible_shares(layers: Sequence[Layer], batch_size: int) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Of each labelled paste, the share of what lies on the canvas that later pastes hide, and the share seen of it all.

    By the soft alphas, so that both have a gradient in all the poses; in the order of the layers.

    Source: ours.
    """
    clear = torch.ones(batch_size, *layers[0].alpha.shape[1:], device=layers[0].alpha.device)
    hidden, seen = [], []
    for layer in reversed(layers):
        above = clear if layer.rows is None else clear[layer.rows]
        if layer.labelled:
            left = (layer.alpha * above).sum(dim=(1, 2, 3))
            hidden.append(1 - left / layer.alpha.sum(dim=(1, 2, 3)).clamp(min=1))
            seen.append(left / layer.whole_px.clamp(min=1))
        above = above * (1 - layer.alpha)
        clear = above if layer.rows is None else clear.index_copy(0, layer.rows, above)
    return torch.cat(hidden[::-1]), torch.cat(seen[::-1])


def class_maps(truth: Truth, size_px: tuple[int, int]) -> Int64[Tensor, "b h w"]:
    """The class of each pixel: 0 the background, label + 1, and `NEITHER` where objects are to be ignored.

    Of masks that overlap, as in some data sets, the smaller object's lies above.

    Source: ours.
    """
    device = truth.labels.device
    maps = torch.zeros(truth.batch_size, *size_px, dtype=torch.int64, device=device)
    if truth.masks is None or not len(truth.masks):
        return maps
    area = torch.where(truth.ignore, torch.inf, truth.masks.sum(dim=(1, 2)).float())
    for row in torch.argsort(area, descending=True, stable=True).tolist():
        value = NEITHER if truth.ignore[row] else int(truth.labels[row]) + 1
        maps[truth.image_index[row], truth.masks[row]] = value
    return maps


def boxes_of_masks(masks: Bool[Tensor, "n h w"]) -> Float[Tensor, "n 4"]:
    """The tight half-open xyxy box of each mask; zeros where a mask is empty.

    Source: ours.
    """
    flags = masks.view(torch.uint8)  # torch's `any` takes 17 times as long as its `amax` of bytes
    columns, rows = flags.amax(dim=1) > 0, flags.amax(dim=2) > 0
    x0, x1 = span_of_hits(columns)
    y0, y1 = span_of_hits(rows)
    return torch.stack([x0, y0, x1, y1], dim=1).float()


def span_of_hits(hits: Bool[Tensor, "n k"]) -> tuple[Tensor, Tensor]:
    """First and one past the last hit of each row; zeros where there is none.

    Source: ours.
    """
    length = hits.shape[1]
    first = hits.int().argmax(dim=1)
    last = length - hits.flip(1).int().argmax(dim=1)
    some = hits.any(dim=1)
    return torch.where(some, first, 0), torch.where(some, last, 0)


def _own_objects(background: Backgrounds) -> tuple[list[Tensor], ...]:
    own = background.truth
    height, width = background.images.shape[-2:]
    masks = own.masks if own.masks is not None else _filled(own.boxes_px, height, width)
    level = torch.full_like(own.image_index, -1)
    area = masks.sum(dim=(1, 2)).float()
    return [masks], [own.labels], [own.image_index], [own.pasted], [own.ignore], [area], [level]


def _keypoints(background: Backgrounds, layers: Sequence[Layer]) -> Float[Tensor, "n k 3"] | None:
    """Keypoints of the backgrounds' own objects, then of each labelled layer's; those that a later layer covers are 1.

    All are 0 for objects of a source without keypoints; None where nothing has any.
    """
    own, device = background.truth, background.images.device
    found = [own.keypoints, *(layer.keypoints for layer in layers)]
    known = next((points for points in found if points is not None), None)
    if known is None:
        return None
    everywhere = torch.arange(len(background), device=device)
    index = [own.image_index, *(everywhere if layer.rows is None else layer.rows for layer in layers)]
    kept = [0, *(number for number, layer in enumerate(layers, 1) if layer.labelled)]
    out = []
    for number in kept:
        points = found[number]
        seen = known.new_zeros(len(index[number]), *known.shape[1:]) if points is None else points.clone()
        for above in range(number + 1, len(index)):
            inside = layers[above - 1].alpha[:, 0] > _INSIDE
            mine, its = (index[number][:, None] == index[above][None]).nonzero(as_tuple=True)
            x, y = (seen[mine, :, axis].long().clamp(0, inside.shape[2 - axis] - 1) for axis in (0, 1))
            covered = inside[its[:, None], y, x] & (seen[mine, :, 2] > 0)
            seen[mine, :, 2] = torch.where(covered, 1.0, seen[mine, :, 2])
        out.append(seen)
    return torch.cat(out)


def _filled(boxes_px: Float[Tensor, "n 4"], height: int, width: int) -> Bool[Tensor, "n h w"]:
    x = torch.arange(width, device=boxes_px.device) + 0.5
    y = torch.arange(height, device=boxes_px.device) + 0.5
    across = (x >= boxes_px[:, 0:1]) & (x < boxes_px[:, 2:3])
    down = (y >= boxes_px[:, 1:2]) & (y < boxes_px[:, 3:4])
    return down[:, :, None] & across[:, None, :]
