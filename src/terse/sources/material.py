"""A pair of banks as the raster path wants it: numbers to pixels, of which the latest are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from terse.compositing.raster import Sprite
from terse.protocols import BackgroundBank, ForegroundBank
from terse.sources.byte_views import ByteForegrounds, OwnObject, bytes_of_backgrounds, bytes_of_foregrounds
from terse.sources.cache import Cache
from terse.sources.masks import box_of
from terse.sources.patches import resize

__all__ = ["Material"]

_KEEP_BYTES = 1 << 28
_Canvas = tuple[int, tuple[int, int]]  # a background and the size it is wanted in


@dataclass(frozen=True, slots=True)
class _Tight:
    """A cut-out's patch without what is transparent around it."""

    rgba: UInt8[np.ndarray, "h w 4"]
    corner: tuple[int, int]  # top and left
    size: tuple[int, int]  # of the patch
    hull: Float32[np.ndarray, "points 2"]


class Material:
    """What there is to paste, and to paste on, at its own size. It can be sent to another process.

    Args:
        foregrounds: what to paste.
        backgrounds: what to paste on.
        classes: the set's.
        square: poses were made on a square canvas to which photographs are squashed. Their objects are squashed
            likewise; cut-outs without a scene keep their shape, here as in training.
        keep_bytes: limit of the cut-outs kept in memory.
        keep_decoded_bytes: limit of the decoded backgrounds kept in memory; 0 decodes all anew.

    Attributes:
        foregrounds: the cut-outs as bytes, with keys, labels, licences and hashes.
        backgrounds: the images to paste on likewise.
        skipped: what the sources left out, in sentences.
    """

    def __init__(
        self,
        foregrounds: ForegroundBank | ByteForegrounds,
        backgrounds: BackgroundBank,
        classes: tuple[str, ...],
        *,
        square: bool = False,
        keep_bytes: int = _KEEP_BYTES,
        keep_decoded_bytes: int = _KEEP_BYTES,
    ) -> None:
        self.classes = classes
        self.square = square
        self.foregrounds = bytes_of_foregrounds(foregrounds, square=square)
        self.backgrounds = bytes_of_backgrounds(backgrounds)
        self.skipped = (*self.foregrounds.skipped, *self.backgrounds.skipped)
        # A sprite takes ten times the bytes of what it is made from, and that ten times as long to read and cut out.
        self._tight: Cache[int, _Tight] = Cache(self._cut, _size_of_tight, keep_bytes // 2)
        self._cut_outs: Cache[int, tuple[Sprite, Float32[np.ndarray, "points 2"]]] = Cache(
            self._cut_out, _size_of_cut_out, keep_bytes
        )
        self._decoded: Cache[_Canvas, UInt8[np.ndarray, "h w 3"]] = Cache(
            self._decode, _size_of_pixels, keep_decoded_bytes
        )
        self._keeps_decoded = keep_decoded_bytes > 0
        self._own: Cache[_Canvas, Sequence[OwnObject]] = Cache(self._draw_objects, _size_of_objects, keep_bytes // 4)

    def label_of(self, foreground: int) -> int:
        """The number of its class among the set's."""
        return self.classes.index(self.foregrounds.class_of(foreground))

    def sprite(self, foreground: int) -> Sprite:
        """The cut-out, ready to be drawn.

        Raises:
            DataError: the file is gone, broken or changed.
        """
        return self._cut_outs.get(foreground)[0]

    def keypoints(self, foreground: int) -> Float32[np.ndarray, "k 3"] | None:
        """Its keypoints on its patch; None where the source has none."""
        return self.foregrounds.keypoints(foreground)

    def hull(self, foreground: int) -> Float32[np.ndarray, "points 2"]:
        """The outermost points of its mask, which poses need."""
        return self._cut_outs.get(foreground)[1]

    def textured(self, foreground: int, background: int) -> Sprite:
        """An artefact patch: its shape, under the colours of a background laid over the whole patch.

        `compositing.artefacts.textured` makes the same in torch.
        """
        patch = self.foregrounds.patch(foreground)
        height, width = patch.shape[:2]
        colours = resize(self.image(background, self.backgrounds.size_px(background)), (width, height))
        return Sprite.of(np.dstack([colours, patch[..., 3]]))

    def image(self, background: int, size_px: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
        """The background's BGR pixels, resampled where another size is wanted; the caller may draw into them.

        The latest are kept: a set has many more images than backgrounds, and decoding one takes as long as all
        the rest but encoding.

        Raises:
            DataError: the file is gone, broken or changed.
        """
        if not self._keeps_decoded:
            return self._decode((background, size_px))  # nobody else's: no copy
        return self._decoded.get((background, size_px)).copy()

    def objects(self, background: int, size_px: tuple[int, int]) -> Sequence[OwnObject]:
        """The background's own objects on a canvas of this size; the latest are kept, drawing them costs more."""
        return self._own.get((background, size_px))

    def describe(self) -> dict[str, object]:
        """Names, counts and licences, for the manifest."""
        return {"foregrounds": self.foregrounds.describe(), "backgrounds": self.backgrounds.describe()}

    def _cut_out(self, foreground: int) -> tuple[Sprite, Float32[np.ndarray, "points 2"]]:
        kept = self._tight.get(foreground)
        (top, left), (height, width) = kept.corner, kept.rgba.shape[:2]
        patch = np.zeros((*kept.size, 4), np.uint8)
        patch[top : top + height, left : left + width] = kept.rgba
        return Sprite.of(patch, self.foregrounds.views(foreground)), kept.hull

    def _cut(self, foreground: int) -> _Tight:
        patch = self.foregrounds.patch(foreground)
        x0, y0, x1, y1 = box_of(patch[..., 3]) or (0, 0, 0, 0)
        hull = self.foregrounds.hull(foreground, patch)
        return _Tight(patch[y0:y1, x0:x1].copy(), (y0, x0), (patch.shape[0], patch.shape[1]), hull)

    def _decode(self, canvas: _Canvas) -> UInt8[np.ndarray, "h w 3"]:
        return self.backgrounds.image(*canvas)

    def _draw_objects(self, canvas: _Canvas) -> Sequence[OwnObject]:
        return self.backgrounds.objects(*canvas)


def _size_of_cut_out(made: tuple[Sprite, np.ndarray]) -> int:
    sprite = made[0]
    return sprite.nbytes + (0 if sprite.views is None else sprite.views.tiles.nbytes)


def _size_of_tight(kept: _Tight) -> int:
    return kept.rgba.nbytes + kept.hull.nbytes + 512


def _size_of_pixels(pixels: np.ndarray) -> int:
    return pixels.nbytes


def _size_of_objects(objects: Sequence[OwnObject]) -> int:
    return 512 + sum(item.region.mask.nbytes + 512 for item in objects)
