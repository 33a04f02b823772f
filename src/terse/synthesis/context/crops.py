"""Surroundings of boxes: which boxes, how much around them, and the pixels with the box masked out."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64, UInt8
from torch import Tensor
from torch.nn import functional
from torchvision.ops import roi_align

from terse.boxes import covered_share
from terse.errors import DataError
from terse.protocols import RealImages

__all__ = ["BoxShapes", "Surroundings", "cut", "draw_frames", "small", "training_crops"]

_BINS = 10
_FLOOR = 0.05
_MIN_CONTEXT = 0.3  # of the image: what a frame shows beside the box, at least
_MAX_ENLARGED = 1.3
_MAX_OVERLAP = 0.3  # of an object: above it a box is no background
_IMAGES = 2000
_CHUNK = 16
_SMALL_PX = 128  # side of the images that surroundings are cut from: all are kept in memory

Boxes = Float64[np.ndarray, "n 4"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Training crops, RGB and the mask of the box as bytes, and the class of each; 0 is background."""

    crops: UInt8[Tensor, "n 4 side side"]
    labels: Int64[Tensor, " n"]


class BoxShapes:
    """Areas and aspect ratios of real boxes as a histogram to draw from.

    Source: Dvornik et al. 2018, 3.2: ten bins of scale by ten of aspect ratio; logarithms are ours.
    """

    def __init__(self, boxes: Boxes) -> None:
        width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        shape = np.log(width * height), np.log(width / height)
        counts, *self._edges = np.histogram2d(*shape, bins=_BINS)
        flat = counts.ravel() + _FLOOR
        self._shares = flat / flat.sum()

    def draw(self, count: int, draw: np.random.Generator) -> Boxes:
        """Boxes of such shapes, anywhere in the unit square; shapes that do not fit in are drawn again."""
        found: list[Boxes] = []
        missing = count
        for _ in range(100):
            drawn = self._once(4 * missing, draw)[:missing]
            found.append(drawn)
            missing -= len(drawn)
            if not missing:
                break
        return np.concatenate(found) if found else np.zeros((0, 4))

    def _once(self, count: int, draw: np.random.Generator) -> Boxes:
        bins = np.unravel_index(draw.choice(len(self._shares), count, p=self._shares), (_BINS, _BINS))
        area, aspect = (
            np.exp(edges[i] + draw.random(count) * (edges[i + 1] - edges[i]))
            for i, edges in zip(bins, self._edges, strict=True)
        )
        size = np.sqrt(np.stack([area * aspect, area / aspect], axis=1))
        corner = draw.random((count, 2)) * (1 - size)
        boxes: Boxes = np.concatenate([corner, corner + size], axis=1)[(size < 1).all(axis=1)]
        return boxes


def draw_frames(boxes: Boxes, draw: np.random.Generator) -> Boxes:
    """A window around each box inside the unit square that shows enough beside it.

    Source: Dvornik et al. 2018, 3.2 and the published code: side lengths, then the place, uniformly.
    """
    size = np.clip(boxes[:, 2:] - boxes[:, :2], 1e-6, 1)
    least = np.clip(_MIN_CONTEXT + np.prod(size, axis=1), 0, 1)
    width_low = np.maximum(size[:, 0], least)
    width = width_low + draw.random(len(boxes)) * (1 - width_low)
    height_low = np.clip(np.maximum(size[:, 1], least / width), 0, 1)
    height = height_low + draw.random(len(boxes)) * (1 - height_low)
    frame = np.stack([width, height], axis=1)
    low = np.clip(boxes[:, 2:] - frame, 0, None)
    high = np.minimum(boxes[:, :2], 1 - frame)
    corner = low + draw.random((len(boxes), 2)) * np.clip(high - low, 0, None)
    return np.concatenate([corner, corner + frame], axis=1)


def small(images: Float[Tensor, "b c h w"]) -> UInt8[Tensor, "b 3 side side"]:
    """The images as the network is shown them: RGB bytes, squashed to one small square.

    Source: ours.
    """
    side = (_SMALL_PX, _SMALL_PX)
    resized = functional.interpolate(images.float(), side, mode="bilinear", antialias=True, align_corners=False)
    return resized.clamp(0, 1).mul(255).round().byte().expand(-1, 3, -1, -1)


def cut(
    images: UInt8[Tensor, "b 3 side side"], index: Int64[np.ndarray, " n"], boxes: Boxes, frames: Boxes, side_px: int
) -> UInt8[Tensor, "n 4 crop_px crop_px"]:
    """Each frame of its image, resized to a square, grey where the box is; the fourth channel is the box.

    Source: Dvornik et al. 2018, 3.2 (contextual images); the mask's channel is ours.
    """
    rois = torch.from_numpy(np.concatenate([index[:, None], frames * images.shape[-1]], axis=1)).float()
    crops = roi_align(images.float(), rois.to(images.device), side_px, sampling_ratio=2, aligned=True)
    inside = _inside(boxes, frames, side_px)[:, None].to(images.device)
    shown = torch.cat([crops.masked_fill(inside, 127.5), inside.float() * 255], dim=1)
    return shown.clamp(0, 255).round().byte()


def training_crops(
    real: RealImages, *, count: int, background_share: float, side_px: int, draw: np.random.Generator
) -> tuple[Surroundings, BoxShapes]:
    """Surroundings of the users' boxes, and of boxes where nothing is.

    Raises:
        DataError: real images without boxes, as a classifier's are.

    Source: Dvornik et al. 2018, 3.2.
    """
    seen = _look(real, draw.permutation(len(real))[:_IMAGES])
    boxes = np.concatenate([own for own, _ in seen.objects] or [np.zeros((0, 4))])
    whole = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    if not whole.any():
        raise DataError(
            "synthesis.kind: expected real images with boxes, which context is learnt from, got none; "
            "use cut_paste_learn or random"
        )
    shapes = BoxShapes(boxes[whole])
    wanted = max(1, round(count * (1 - background_share)))
    repeats = wanted / max(1, int(_usable(boxes).sum()))
    blanks = max(1, round((count - wanted) / len(seen.objects)))
    parts = [
        _of_chunk(seen, rows, shapes, repeats, blanks, side_px, draw)
        for rows in np.array_split(np.arange(len(seen.objects)), -(-len(seen.objects) // _CHUNK))
    ]
    crops, labels = torch.cat([part.crops for part in parts]), torch.cat([part.labels for part in parts])
    return Surroundings(crops, labels), shapes


@dataclass(frozen=True, slots=True)
class _Seen:
    images: UInt8[Tensor, "n 3 side side"]
    objects: list[
        tuple[Float64[np.ndarray, "_ 4"], Int64[np.ndarray, " _"]]
    ]  # boxes in fractions of the image, and classes


def _look(real: RealImages, order: Int64[np.ndarray, " n"]) -> _Seen:
    """Every image once: decoding is what costs."""
    images: list[Tensor] = []
    objects: list[tuple[Float64[np.ndarray, "_ 4"], Int64[np.ndarray, " _"]]] = []
    for start in range(0, len(order), _CHUNK):
        batch, truth = real.fetch(order[start : start + _CHUNK])
        images.append(small(batch).cpu())
        scale = np.array([batch.shape[-1], batch.shape[-2]] * 2)
        boxes = truth.boxes_px.cpu().double().numpy() / scale
        index, labels, ignore = (t.cpu().numpy() for t in (truth.image_index, truth.labels, truth.ignore))
        rows = [(index == i) & ~ignore for i in range(truth.batch_size)]
        objects += [(np.clip(boxes[row], 0, 1), labels[row]) for row in rows]
    empty = torch.zeros(0, 3, _SMALL_PX, _SMALL_PX, dtype=torch.uint8)
    return _Seen(torch.cat(images) if images else empty, objects)


def _of_chunk(
    seen: _Seen,
    rows: Int64[np.ndarray, " k"],
    shapes: BoxShapes,
    repeats: float,
    blanks: int,
    side_px: int,
    draw: np.random.Generator,
) -> Surroundings:
    """Each object's surroundings, differently each time, and those of boxes that hold nothing."""
    boxes, index, labels = [], [], []
    for i, row in enumerate(rows.tolist()):
        own, classes = seen.objects[row]
        # So many times on average: of many objects each is taken once at most, by chance.
        times = (repeats + draw.random(len(own))).astype(np.int64) * _usable(own)
        empty = shapes.draw(blanks, draw)
        empty = empty[covered_share(empty, own) < _MAX_OVERLAP]
        boxes += [_enlarged(np.repeat(own, times, axis=0), draw), empty]
        labels += [np.repeat(classes + 1, times), np.zeros(len(empty), dtype=np.int64)]
        index.append(np.full(len(boxes[-2]) + len(boxes[-1]), i))
    every = np.concatenate(boxes)
    frames = draw_frames(every, draw)
    crops = cut(seen.images[torch.from_numpy(rows)], np.concatenate(index), every, frames, side_px)
    return Surroundings(crops, torch.from_numpy(np.concatenate(labels)))


def _usable(boxes: Boxes) -> Bool[np.ndarray, " n"]:
    """Boxes that leave some context in their image."""
    size = boxes[:, 2:] - boxes[:, :2]
    usable: Bool[np.ndarray, " n"] = (size > 0).all(axis=1) & (np.prod(size, axis=1) < 1 - _MIN_CONTEXT)
    return usable


def _enlarged(boxes: Boxes, draw: np.random.Generator) -> Boxes:
    """Up to 1.3 times as large, moved so that the object stays inside, cut at the image's border."""
    size, centre = boxes[:, 2:] - boxes[:, :2], (boxes[:, 2:] + boxes[:, :2]) / 2
    factor = 1 + draw.random((len(boxes), 1)) * (_MAX_ENLARGED - 1)
    moved = centre + (draw.random((len(boxes), 2)) * 2 - 1) * size * (factor - 1) / 2
    larger: Boxes = np.concatenate([moved - size * factor / 2, moved + size * factor / 2], axis=1)
    return larger.clip(0, 1)


def _inside(boxes: Boxes, frames: Boxes, side_px: int) -> Tensor:
    """Which pixels of each resized frame lie in its box."""
    centres = (np.arange(side_px) + 0.5) / side_px
    size = frames[:, 2:] - frames[:, :2]
    x = frames[:, :1] + centres * size[:, :1]
    y = frames[:, 1:2] + centres * size[:, 1:2]
    across = (x >= boxes[:, :1]) & (x < boxes[:, 2:3])
    down = (y >= boxes[:, 1:2]) & (y < boxes[:, 3:4])
    return torch.from_numpy(down[:, :, None] & across[:, None, :])
