"""Objects cut out by their boxes with OpenCV's GrabCut (Rother et al. 2004), told how an object fills its box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float64, UInt8

from terse.boxes import iou
from terse.masks.score import Box, grown
from terse.sources.masks import box_of
from terse.sources.patches import window_of

__all__ = ["GrabCut"]

_SURROUNDINGS = 0.2  # of the box's sides, on every side: what the background's colours are learnt from
_KEPT_PART = 0.1  # of the largest connected part; smaller ones are specks


@dataclass(frozen=True, slots=True)
class GrabCut:
    """What stands out in a box from what is around it.

    A box is tight: its object reaches all four sides. GrabCut alone often loses most of an object, or all of it, whose
    colours are around it too. So where the mask's own box misses the annotated one, it is cut again with a larger
    ellipse in the middle that is sure to be the object's, and at last the inscribed ellipse is taken.

    The object is resampled to one size, so that small and large ones are cut alike.
    """

    side_px: int = 96
    """Of the box's longer side while it is cut."""
    iterations: int = 5
    cores: tuple[float, ...] = (0.0, 0.3, 0.5, 0.7, 0.85)
    """Axes of the sure ellipse over the box's sides, one after the other."""
    min_coverage: float = 0.8
    """IoU of the mask's box with the annotated one that is enough."""

    def cut(self, image: UInt8[np.ndarray, "h w 3"], boxes_px: Sequence[Box]) -> list[Bool[np.ndarray, "h w"]]:
        """The mask of each box; the same at every call, whatever was cut before."""
        return [self._cut(image, box) for box in boxes_px]

    def _cut(self, image: UInt8[np.ndarray, "h w 3"], box_px: Box) -> Bool[np.ndarray, "h w"]:
        height, width = image.shape[:2]
        x0, y0, x1, y1 = window_of(grown(box_px, _SURROUNDINGS), (width, height))
        mask = np.zeros((height, width), dtype=np.bool_)
        if x1 <= x0 or y1 <= y0:
            return mask
        # A box below a pixel is looked at as one of a pixel: enlarged to its own size, its surroundings fill the memory.
        scale = self.side_px / max(box_px[2] - box_px[0], box_px[3] - box_px[1], 1.0)
        size = max(8, round((x1 - x0) * scale)), max(8, round((y1 - y0) * scale))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        small = cv2.resize(np.ascontiguousarray(image[y0:y1, x0:x1, ::-1]), size, interpolation=how)
        across, down = size[0] / (x1 - x0), size[1] / (y1 - y0)
        inner = (
            (box_px[0] - x0) * across,
            (box_px[1] - y0) * down,
            (box_px[2] - x0) * across,
            (box_px[3] - y0) * down,
        )
        found = self._fill(small, inner).astype(np.float32)
        mask[y0:y1, x0:x1] = cv2.resize(found, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR) > 0.5
        return mask

    def _fill(self, image: UInt8[np.ndarray, "h w 3"], box_px: Box) -> Bool[np.ndarray, "h w"]:
        """A mask that fills its box: of the smallest sure core that gives one."""
        wanted = np.array([box_px], dtype=np.float64)
        for core in self.cores:
            mask = self._grab(image, box_px, core)
            tight = box_of(mask.view(np.uint8))
            if tight is not None and iou(np.array([tight], dtype=np.float64), wanted)[0, 0] >= self.min_coverage:
                return mask
        return _ellipse(image.shape[:2], box_px, 1.0)

    def _grab(self, image: UInt8[np.ndarray, "h w 3"], box_px: Box, core: float) -> Bool[np.ndarray, "h w"]:
        """One run of GrabCut, cleaned: the largest parts, holes filled."""
        kinds = np.full(image.shape[:2], cv2.GC_BGD, dtype=np.uint8)
        x0, y0, x1, y1 = (round(edge) for edge in box_px)
        kinds[max(y0, 0) : y1, max(x0, 0) : x1] = cv2.GC_PR_FGD
        kinds[_ellipse(image.shape[:2], box_px, core)] = cv2.GC_FGD
        if not (kinds == cv2.GC_BGD).any():  # the box is the whole image: its rim is what is around
            kinds[[0, -1]] = kinds[:, [0, -1]] = cv2.GC_BGD
        cv2.setRNGSeed(0)  # of the k-means that begins it
        try:
            cv2.grabCut(image, kinds, (0, 0, 1, 1), *_new_models(), self.iterations, cv2.GC_INIT_WITH_MASK)
        except cv2.error:  # pixels of one colour, to which no mixture can be fitted
            return np.zeros(kinds.shape, dtype=np.bool_)
        return _cleaned((kinds == cv2.GC_FGD) | (kinds == cv2.GC_PR_FGD))


def _new_models() -> tuple[Float64[np.ndarray, "1 65"], Float64[np.ndarray, "1 65"]]:
    """Two mixtures of five colours, of background and object, that GrabCut fills in."""
    return np.zeros((1, 65)), np.zeros((1, 65))


def _ellipse(shape: tuple[int, ...], box_px: Box, axes: float) -> Bool[np.ndarray, "h w"]:
    """The pixels of the ellipse in the middle of a box whose axes are this share of the box's sides."""
    x0, y0, x1, y1 = box_px
    if axes <= 0:
        return np.zeros(shape[:2], dtype=np.bool_)
    across = (np.arange(shape[1]) + 0.5 - (x0 + x1) / 2) / ((x1 - x0) / 2 * axes)
    down = (np.arange(shape[0]) + 0.5 - (y0 + y1) / 2) / ((y1 - y0) / 2 * axes)
    return np.asarray(across**2 + down[:, None] ** 2 <= 1)


def _cleaned(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Without specks and holes."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count <= 1:
        return mask
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = np.isin(parts, np.flatnonzero(areas >= _KEPT_PART * areas.max()) + 1).astype(np.uint8)
    outlines, _ = cv2.findContours(kept, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(kept, outlines, -1, 1, cv2.FILLED) > 0)
