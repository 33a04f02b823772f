"""An object with some of its surroundings, cut out of its photograph for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from terse.sources.annotations import Annotations
from terse.sources.decode import read_rgb
from terse.sources.masks import PixelBox

__all__ = ["LEAST_PX", "Crop", "read_whole", "window_around"]

LEAST_PX = 48
"""A window is at least so large, that small objects show where they are."""
_MARGIN = 0.25  # of an object's longer side, around it


def read_whole(annotations: Annotations, image: int) -> npt.NDArray[np.uint8]:
    """The RGB pixels of an image.

    Raises:
        DataError: the file cannot be read.
    """
    width, height = annotations.sizes_px[image].tolist()
    return read_rgb(annotations.root / annotations.paths[image], annotations.paths[image], (width, height))


def window_around(edges: Sequence[float] | npt.NDArray[np.float64], size_px: tuple[int, int]) -> PixelBox:
    """The window of an image of this width and height around a box."""
    box = np.asarray(edges, dtype=np.float64)
    sides = box[2:] - box[:2]
    margin = max(_MARGIN * float(sides.max()), (LEAST_PX - float(sides.max())) / 2)
    low = np.maximum(np.floor(box[:2] - margin), 0).astype(int)
    high = np.minimum(np.ceil(box[2:] + margin), size_px).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


@dataclass(frozen=True, slots=True)
class Crop:
    """A window of an image, made smaller where it is larger than a page wants it."""

    window: PixelBox
    scale: float
    size_px: tuple[int, int]

    @classmethod
    def of(cls, window: PixelBox, side_px: int) -> Crop:
        """The window with its longer side at most so long."""
        x0, y0, x1, y1 = window
        scale = min(1.0, side_px / max(x1 - x0, y1 - y0))
        return cls(window, scale, (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))))

    def picture(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The window of the image."""
        x0, y0, x1, y1 = self.window
        return cv2.resize(pixels[y0:y1, x0:x1], self.size_px, interpolation=cv2.INTER_AREA).astype(np.uint8)

    def box(self, box_px: Sequence[float]) -> tuple[float, float, float, float]:
        """A box of the image in pixels of the crop."""
        x0, y0, _, _ = self.window
        left, top, right, bottom = box_px
        return (left - x0) * self.scale, (top - y0) * self.scale, (right - x0) * self.scale, (bottom - y0) * self.scale

    def mask(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """A mask of the image in pixels of the crop."""
        x0, y0, x1, y1 = self.window
        part = mask[y0:y1, x0:x1].astype(np.uint8) * np.uint8(255)
        return np.asarray(cv2.resize(np.ascontiguousarray(part), self.size_px, interpolation=cv2.INTER_AREA) > 127)
