"""A pair of banks as the raster path wants it: numbers to pixels that are kept, keys to numbers."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from terse.compositing.raster import Sprite
from terse.errors import DataError
from terse.protocols import BackgroundBank, ForegroundBank
from terse.sources.byte_views import (
    ByteBackgrounds,
    ByteForegrounds,
    OwnObject,
    bytes_of_backgrounds,
    bytes_of_foregrounds,
)
from terse.sources.cache import Cache
from terse.sources.patches import resize

__all__ = ["Material"]

_KEEP_BYTES = 1 << 28
_Canvas = tuple[int, tuple[int, int]]  # a background and the size it is wanted in


class Material:
    """What there is to paste, and to paste on, at its own size. It can be sent to another process.

    Args:
        foregrounds: what to paste.
        backgrounds: what to paste on.
        classes: the set's.
        square: poses were made on a square canvas to which photographs are squashed. Their objects are squashed
            likewise; cut-outs without a scene keep their shape, here as in training.
        keep_bytes: limit of the cut-outs kept in memory.
        keep_decoded_bytes: limit of the decoded backgrounds kept in memory; 0 decodes nearly all anew.
    """

    def __init__(
        self,
        foregrounds: ForegroundBank,
        backgrounds: BackgroundBank,
        classes: tuple[str, ...],
        *,
        square: bool = False,
        keep_bytes: int = _KEEP_BYTES,
        keep_decoded_bytes: int = _KEEP_BYTES,
    ) -> None:
        self.classes = classes
        self.square = square
        self.foreground_keys: Sequence[str] = foregrounds.keys
        self.foreground_labels: Int64[np.ndarray, " n"] = foregrounds.labels
        self.background_keys: Sequence[str] = backgrounds.keys
        self._fore = bytes_of_foregrounds(foregrounds, square=square)
        self._back = bytes_of_backgrounds(backgrounds)
        self.skipped = (*self._fore.skipped, *self._back.skipped)
        self._cut_outs: Cache[int, tuple[Sprite, Float32[np.ndarray, "points 2"]]] = Cache(
            self._cut_out, _size_of_cut_out, keep_bytes
        )
        self._decoded: Cache[_Canvas, UInt8[np.ndarray, "h w 3"]] = Cache(
            self._decode, _size_of_pixels, keep_decoded_bytes
        )
        self._own: Cache[_Canvas, Sequence[OwnObject]] = Cache(self._draw_objects, _size_of_objects, keep_bytes // 4)
        self._places: tuple[dict[str, int], dict[str, int]] | None = None

    def __getstate__(self) -> dict[str, object]:
        """Workers get the index; pixels they load themselves."""
        return {**self.__dict__, "_places": None}

    def sprite(self, foreground: int) -> Sprite:
        """The cut-out, ready to be drawn.

        Raises:
            DataError: the file is gone, broken or changed.
        """
        return self._cut_outs.get(foreground)[0]

    def hull(self, foreground: int) -> Float32[np.ndarray, "points 2"]:
        """The outermost points of its mask, which poses need."""
        return self._cut_outs.get(foreground)[1]

    def textured(self, foreground: int, background: int) -> Sprite:
        """An artefact patch: its shape, under the colours of a background laid over the whole patch.

        `compositing.artefacts.textured` makes the same in torch.
        """
        patch = self._fore.patch(foreground)
        height, width = patch.shape[:2]
        colours = resize(self.image(background, self.size_px(background)), (width, height))
        return Sprite.of(np.dstack([colours, patch[..., 3]]))

    def size_px(self, background: int) -> tuple[int, int]:
        """Width and height of the background's own image."""
        return self._back.size_px(background)

    def image(self, background: int, size_px: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
        """The background's BGR pixels, resampled where another size is wanted; the caller may draw into them.

        The latest are kept: a set has many more images than backgrounds, and decoding one takes as long as all
        the rest but encoding.

        Raises:
            DataError: the file is gone, broken or changed.
        """
        return self._decoded.get((background, size_px)).copy()

    def objects(self, background: int, size_px: tuple[int, int]) -> Sequence[OwnObject]:
        """The background's own objects on a canvas of this size; the latest are kept, drawing them costs more."""
        return self._own.get((background, size_px))

    def holds_objects(self, background: int) -> bool:
        """Whether it has objects of its own."""
        return self._back.holds_objects(background)

    def class_of(self, foreground: int) -> str:
        """The class's name."""
        return self.classes[int(self.foreground_labels[foreground])]

    def foreground_licence(self, foreground: int) -> str:
        """As its source names it; empty where it names none."""
        return self._fore.licence(foreground)

    def background_licence(self, background: int) -> str:
        """As its source names it; empty where it names none."""
        return self._back.licence(background)

    def foreground_sha256(self, foreground: int) -> str:
        """Of the file it is cut from, or of the patch where there is no file."""
        return self._fore.sha256(foreground)

    def background_sha256(self, background: int) -> str:
        """Of its file, or of its pixels where there is no file."""
        return self._back.sha256(background)

    def foreground_index(self, key: str, sha256: str | None, where: str) -> int:
        """The number of a key that a placement holds.

        Raises:
            DataError: the source is gone, or has other contents.
        """
        return self._place(0, self._fore, key, sha256, where)

    def background_index(self, key: str, sha256: str | None, where: str) -> int:
        """The number of a key that a placement holds.

        Raises:
            DataError: the source is gone, or has other contents.
        """
        return self._place(1, self._back, key, sha256, where)

    def describe(self) -> dict[str, object]:
        """Names, counts and licences, for the manifest."""
        return {"foregrounds": self._fore.describe(), "backgrounds": self._back.describe()}

    def _place(self, side: int, of: ByteForegrounds | ByteBackgrounds, key: str, sha256: str | None, where: str) -> int:
        if self._places is None:
            self._places = (
                {name: i for i, name in enumerate(self.foreground_keys)},
                {name: i for i, name in enumerate(self.background_keys)},
            )
        index = self._places[side].get(key)
        if index is None:
            content = f" (sha256 {sha256})" if sha256 else ""
            advice = "restore the file or drop these rows" if of.from_files else "make it again with the same settings"
            raise DataError(
                f"{where}: expected the source {key}{content} as when the placements were made, got none of that name; "
                f"{advice}"
            )
        if sha256 and of.from_files and of.sha256(index) != sha256:
            raise DataError(
                f"{where}: expected the source {key} with sha256 {sha256} as when the placements were made, "
                f"got {of.sha256(index)}; restore the file, or empty the column to draw it as it is now"
            )
        return index

    def _cut_out(self, foreground: int) -> tuple[Sprite, Float32[np.ndarray, "points 2"]]:
        patch = self._fore.patch(foreground)
        return Sprite.of(patch), self._fore.hull(foreground, patch)

    def _decode(self, canvas: _Canvas) -> UInt8[np.ndarray, "h w 3"]:
        return self._back.image(*canvas)

    def _draw_objects(self, canvas: _Canvas) -> Sequence[OwnObject]:
        return self._back.objects(*canvas)


def _size_of_cut_out(made: tuple[Sprite, np.ndarray]) -> int:
    return made[0].nbytes


def _size_of_pixels(pixels: np.ndarray) -> int:
    return pixels.nbytes


def _size_of_objects(objects: Sequence[OwnObject]) -> int:
    return 512 + sum(item.region.mask.nbytes + 512 for item in objects)
