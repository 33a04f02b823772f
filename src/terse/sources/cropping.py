"""An object cut out of its photograph: its tight box, its pixels and its mask."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from terse.errors import DataError
from terse.sources.annotations import Annotations
from terse.sources.decode import read_rgb
from terse.sources.masks import PixelBox, box_of, draw_mask, extent

__all__ = ["crop", "size_of", "stretch_of", "tight_box"]


def stretch_of(annotations: Annotations, image: int, *, squash: bool) -> tuple[float, float]:
    """What squashing an image to a square does to its objects' width and height; a cut-out has no scene to squash."""
    width, height = size_of(annotations, image)
    return (1 / width, 1 / height) if squash and not annotations.cut_outs else (1.0, 1.0)


def crop(
    annotations: Annotations, number: int, image: int, key: str
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """An object's RGB and mask, tight around the mask.

    Raises:
        DataError: the mask is empty, or the file was changed or broken since it was indexed.
    """
    path, size_px = annotations.paths[image], size_of(annotations, image)
    (x0, y0, x1, y1), alpha = _tight_mask(annotations, number, image, key)
    return read_rgb(annotations.root / path, path, size_px)[y0:y1, x0:x1], alpha


def tight_box(annotations: Annotations, number: int, image: int, key: str) -> PixelBox:
    """The box that `crop` cuts out, in pixels of the image.

    Raises:
        DataError: the mask is empty.
    """
    return _tight_mask(annotations, number, image, key)[0]


def _tight_mask(
    annotations: Annotations, number: int, image: int, key: str
) -> tuple[PixelBox, UInt8[np.ndarray, "h w"]]:
    mask, size_px = annotations.masks[number], size_of(annotations, image)
    assert mask is not None  # only objects with masks are foregrounds
    near = extent(mask, size_px)
    x0, y0 = near[:2]
    alpha = draw_mask(mask, annotations.root, size_px, near)
    tight = box_of(alpha)
    if tight is None:
        raise DataError(
            f"{key}: expected a mask with at least one pixel inside the image, got an empty one; "
            "set cleanup: true, which leaves such masks out"
        )
    left, top, right, bottom = tight
    return (x0 + left, y0 + top, x0 + right, y0 + bottom), alpha[top:bottom, left:right]


def size_of(annotations: Annotations, image: int) -> tuple[int, int]:
    """Width and height of an image."""
    width, height = annotations.sizes_px[image].tolist()
    return width, height
