"""How an object's mask is kept until it is drawn: outlines, runs, or the file it stands in; never pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from terse.errors import DataError
from terse.sources.decode import read_alpha, read_values

__all__ = [
    "FileMask",
    "Mask",
    "PixelBox",
    "Polygons",
    "Rle",
    "box_of",
    "cut_outline",
    "draw_mask",
    "ellipse",
    "extent",
    "joined",
    "mask_box",
    "pack",
]

_ELLIPSE_POINTS = 64
_FEWEST_POINTS = 3
_HALF = 127  # of a byte
PixelBox = tuple[int, int, int, int]
"""Half-open x0, y0, x1, y1 in pixels of the image."""


@dataclass(frozen=True, slots=True)
class Polygons:
    """Outlines in pixels, joined by union as COCO does."""

    parts: tuple[Float32[np.ndarray, "_ 2"], ...]


@dataclass(frozen=True, slots=True)
class Rle:
    """COCO's compressed run lengths, over the whole image."""

    counts: bytes


@dataclass(frozen=True, slots=True)
class FileMask:
    """A mask that stands in an image file, read when it is needed.

    `rule` says which pixels are the object's: those equal to `value` (an instance number), the dark or the
    light ones of a black-and-white mask (grey levels by the nearer of the two), or the file's own alpha channel.
    """

    path: str  # relative to the annotations' root
    rule: Literal["value", "dark", "light", "alpha"]
    value: int = 0


Mask = Polygons | Rle | FileMask


def draw_mask(
    mask: Mask, root: Path, size_px: tuple[int, int], window: PixelBox | None = None
) -> UInt8[np.ndarray, "h w"]:
    """The mask inside a window of its image, 0 to 255; only files with an alpha channel have values between.

    Args:
        mask: what the index keeps.
        root: the folder that mask files are named from.
        size_px: width and height of the whole image.
        window: the part wanted; None is all of it.

    Raises:
        DataError: a mask file that cannot be read or is of another size.
    """
    x0, y0, x1, y1 = window or (0, 0, *size_px)
    if isinstance(mask, Polygons):
        return _draw_polygons(mask, (x0, y0, x1, y1))
    if isinstance(mask, Rle):
        from faster_coco_eval.core import mask as rle

        whole = rle.decode({"size": [size_px[1], size_px[0]], "counts": mask.counts})
        cut: UInt8[np.ndarray, "h w"] = np.ascontiguousarray(whole[y0:y1, x0:x1]) * np.uint8(255)
        return cut
    part: UInt8[np.ndarray, "h w"] = np.ascontiguousarray(_read_file(mask, root, size_px)[y0:y1, x0:x1])
    return part


def _draw_polygons(mask: Polygons, window: PixelBox) -> UInt8[np.ndarray, "h w"]:
    """COCO's own rasteriser, so that masks agree with those other tools draw."""
    from faster_coco_eval.core import mask as rle

    x0, y0, x1, y1 = window
    shifted = [(part - (x0, y0)).ravel().astype(np.float64).tolist() for part in mask.parts]
    drawn = rle.decode(rle.frPyObjects(shifted, y1 - y0, x1 - x0))
    joined: UInt8[np.ndarray, "h w"] = drawn.any(axis=2).astype(np.uint8) * np.uint8(255)
    return joined


def extent(mask: Mask, size_px: tuple[int, int]) -> PixelBox:
    """A part of the image that holds the whole mask, found without drawing it."""
    if not isinstance(mask, Polygons):
        return (0, 0, *size_px)
    points = np.concatenate(mask.parts)
    x0, y0 = np.floor(points.min(axis=0)).astype(int).tolist()
    x1, y1 = np.ceil(points.max(axis=0)).astype(int).tolist()
    return max(x0 - 1, 0), max(y0 - 1, 0), min(x1 + 1, size_px[0]), min(y1 + 1, size_px[1])


def box_of(mask: UInt8[np.ndarray, "h w"]) -> PixelBox | None:
    """The tight box of a mask, None where it is empty."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def cut_outline(part: Float32[np.ndarray, "_ 2"], size_px: tuple[int, int]) -> Float32[np.ndarray, "_ 2"]:
    """An outline without what reaches over the image's border; one that is nowhere inside becomes a point on it.

    Moving the points to the border instead would move the sides between them too, inside the image as well.

    Source: Sutherland and Hodgman 1974.
    """
    points = part.astype(np.float64)
    for axis, limit in ((0, 0), (1, 0), (0, size_px[0]), (1, size_px[1])):
        depth = limit - points[:, axis] if limit else points[:, axis]
        if (depth >= 0).all():
            continue
        following, depth_there = np.roll(points, -1, axis=0), np.roll(depth, -1)
        leaves = (depth >= 0) != (depth_there >= 0)
        share = depth / np.where(leaves, depth - depth_there, 1)
        crossing = points + np.where(leaves, share, 0)[:, None] * (following - points)
        crossing[:, axis] = limit
        points = np.stack([points, crossing], axis=1)[np.stack([depth >= 0, leaves], axis=1)]
    if len(points) < _FEWEST_POINTS:
        points = np.repeat(np.clip(part[:1], 0, size_px), _FEWEST_POINTS, axis=0)
    return points.astype(np.float32)


def ellipse(
    centre: tuple[float, float], radii: tuple[float, float], turned_rad: float = 0.0
) -> Float32[np.ndarray, "_ 2"]:
    """The outline of an ellipse, its radii along x and y before it is turned clockwise (y points down)."""
    around = np.linspace(0, 2 * np.pi, _ELLIPSE_POINTS, endpoint=False)
    x, y = radii[0] * np.cos(around), radii[1] * np.sin(around)
    cos, sin = np.cos(turned_rad), np.sin(turned_rad)
    return np.stack([centre[0] + cos * x - sin * y, centre[1] + sin * x + cos * y], axis=1).astype(np.float32)


def pack(drawn: Bool[np.ndarray, "h w"], corner: tuple[int, int], size_px: tuple[int, int]) -> Rle:
    """A mask drawn on a part of an image whose upper left pixel is `corner`; what sticks out is cut."""
    from faster_coco_eval.core import mask as rle

    whole = np.zeros(size_px[::-1], dtype=np.uint8, order="F")
    (x, y), (h, w) = corner, drawn.shape
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, size_px[0]), min(y + h, size_px[1])
    if x1 > x0 and y1 > y0:
        whole[y0:y1, x0:x1] = drawn[y0 - y : y1 - y, x0 - x : x1 - x]
    return Rle(rle.encode(whole)["counts"])


def joined(masks: Sequence[Polygons | Rle], size_px: tuple[int, int]) -> Polygons | Rle | None:
    """The union of the parts of one object in an image of this size; None of no part."""
    outlines = [part for mask in masks if isinstance(mask, Polygons) for part in mask.parts]
    runs: list[Any] = [{"size": list(size_px[::-1]), "counts": mask.counts} for mask in masks if isinstance(mask, Rle)]
    if not runs:
        return Polygons(tuple(outlines)) if outlines else None
    from faster_coco_eval.core import mask as rle

    if outlines:
        listed = [part.ravel().astype(np.float64).tolist() for part in outlines]
        runs += rle.frPyObjects(listed, size_px[1], size_px[0])
    return Rle(rle.merge(runs)["counts"])


def mask_box(mask: Mask, size_px: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """The box around outlines or runs, half-open, None where nothing is inside or the mask stands in a file."""
    if isinstance(mask, Polygons):
        points = np.concatenate(mask.parts)
        (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        return x0, y0, x1, y1
    if isinstance(mask, Rle):
        from faster_coco_eval.core import mask as rle

        x, y, width, height = rle.toBbox({"size": [size_px[1], size_px[0]], "counts": mask.counts}).tolist()
        return (x, y, x + width, y + height) if width and height else None
    return None


def _read_file(mask: FileMask, root: Path, size_px: tuple[int, int]) -> UInt8[np.ndarray, "h w"]:
    path = root / mask.path
    if mask.rule == "alpha":
        return read_alpha(path, mask.path, size_px)
    values = read_values(path, mask.path)
    if values.shape != size_px[::-1]:
        raise DataError(
            f"{mask.path}: expected a mask of its image's size {size_px[0]}x{size_px[1]}, "
            f"got {values.shape[1]}x{values.shape[0]}; export it again"
        )
    if mask.rule == "value":
        inside = values == mask.value
    else:  # 0 and 1, numbers of parts, or grey levels, which may be soft or a JPEG's
        inside = (values > (_HALF if values.max(initial=0) > _HALF else 0)) == (mask.rule == "light")
    drawn: UInt8[np.ndarray, "h w"] = inside.astype(np.uint8) * np.uint8(255)
    return drawn
