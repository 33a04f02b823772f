"""Foregrounds and backgrounds as bytes at their own size: what the raster path draws with.

Colours are in OpenCV's order, BGR, from file to file: turning them round costs as much as a small paste.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8

from terse.compositing import support_points
from terse.compositing.raster import Drawn, Sprite
from terse.errors import DataError
from terse.sources.annotations import Annotations
from terse.sources.bank import stretch_of
from terse.sources.cache import Cache
from terse.sources.decode import read_rgb
from terse.sources.masks import draw_mask, extent
from terse.sources.patches import box_of, cut_patch, resize, window_of

__all__ = ["Material", "OwnObject", "PhotoMaterial", "with_texture"]

_KEEP_BYTES = 1 << 28
_Canvas = tuple[int, tuple[int, int]]  # a background and the size it is wanted in


@dataclass(frozen=True, slots=True)
class OwnObject:
    """An object that a background holds already, in pixels of the canvas."""

    label: int
    box_px: tuple[float, float, float, float]
    region: Drawn  # a filled box where there is no mask
    masked: bool
    crowd: bool
    ignore: bool
    key: str


class Material(Protocol):
    """What there is to paste, and to paste on. The lists of names are short-lived lookups, the pixels are cached."""

    classes: tuple[str, ...]
    foreground_keys: Sequence[str]
    foreground_labels: Int64[np.ndarray, " n"]
    background_keys: Sequence[str]
    square: bool  # poses were made on a square canvas to which backgrounds are squashed
    skipped: tuple[str, ...]

    def sprite(self, foreground: int) -> Sprite: ...  # noqa: D102
    def textured(self, foreground: int, background: int) -> Sprite: ...  # noqa: D102
    def hull(self, foreground: int) -> Float32[np.ndarray, "points 2"]: ...  # noqa: D102
    def size_px(self, background: int) -> tuple[int, int]: ...  # noqa: D102
    def image(self, background: int, size_px: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]: ...  # noqa: D102
    def objects(self, background: int, size_px: tuple[int, int]) -> Sequence[OwnObject]: ...  # noqa: D102
    def holds_objects(self, background: int) -> bool: ...  # noqa: D102
    def class_of(self, foreground: int) -> str: ...  # noqa: D102
    def foreground_licence(self, foreground: int) -> str: ...  # noqa: D102
    def background_licence(self, background: int) -> str: ...  # noqa: D102
    def foreground_sha256(self, foreground: int) -> str: ...  # noqa: D102
    def background_sha256(self, background: int) -> str: ...  # noqa: D102
    def foreground_index(self, key: str, sha256: str | None, where: str) -> int: ...  # noqa: D102
    def background_index(self, key: str, sha256: str | None, where: str) -> int: ...  # noqa: D102
    def describe(self) -> dict[str, object]: ...  # noqa: D102


class PhotoMaterial:
    """Photographs, by the indices that sources read.

    Args:
        foregrounds: objects with masks; crowds, ignored ones and those without a mask are left out.
        backgrounds: images, with their objects.
        classes: the set's; None takes the foregrounds', then the backgrounds' others.
        square: squash objects as their images would be squashed to a square; cut-outs without a scene keep their shape.
        keep_bytes: limit of the cut-outs kept in memory.
        keep_decoded_bytes: limit of the decoded backgrounds kept in memory; 0 decodes nearly all anew.

    Raises:
        DataError: nothing to paste, or nothing to paste on.
    """

    def __init__(
        self,
        foregrounds: Annotations,
        backgrounds: Annotations,
        classes: Sequence[str] | None = None,
        *,
        square: bool = False,
        keep_bytes: int = _KEEP_BYTES,
        keep_decoded_bytes: int = _KEEP_BYTES,
    ) -> None:
        names = (*foregrounds.classes, *backgrounds.classes) if classes is None else classes
        self.classes = tuple(dict.fromkeys(names))
        self.skipped = tuple(str(item) for item in (*foregrounds.skipped, *backgrounds.skipped))
        self.square = square
        self._fore = foregrounds.with_classes(self.classes)
        self._back = backgrounds.with_classes(self.classes)
        fore = self._fore
        self._objects = np.flatnonzero(fore.masked & ~fore.crowd & ~fore.ignore)
        if not len(self._objects):
            raise DataError(
                f"foregrounds: expected objects with masks in {fore.name}, got none of {len(fore.labels)} objects; "
                "use annotations with polygons, run lengths or mask files"
            )
        if not len(backgrounds):
            raise DataError(f"backgrounds: expected images in {backgrounds.name}, got none; look at the folder")
        self.foreground_labels: Int64[np.ndarray, " n"] = fore.labels[self._objects]
        keys = fore.object_keys
        self.foreground_keys: Sequence[str] = tuple(keys[i] for i in self._objects)
        self.background_keys: Sequence[str] = self._back.image_keys
        self._cut_outs: Cache[int, tuple[Sprite, Float32[np.ndarray, "points 2"]]] = Cache(
            self._cut_out, _size_of_cut_out, keep_bytes
        )
        self._decoded: Cache[_Canvas, UInt8[np.ndarray, "h w 3"]] = Cache(
            self._decode, _size_of_pixels, keep_decoded_bytes
        )
        self._own: Cache[_Canvas, Sequence[OwnObject]] = Cache(self._draw_objects, _size_of_objects, keep_bytes // 4)
        self._digests: dict[str, str] = {}
        self._places: tuple[dict[str, int], dict[str, int]] | None = None

    def sprite(self, foreground: int) -> Sprite:
        """The cut-out, ready to be drawn."""
        return self._cut_outs.get(foreground)[0]

    def textured(self, foreground: int, background: int) -> Sprite:
        """An artefact patch: its shape, under the colours of a background laid over the whole patch."""
        return with_texture(self._patch(foreground), self.image(background, self.size_px(background)))

    def hull(self, foreground: int) -> Float32[np.ndarray, "points 2"]:
        """The outermost points of its mask, which poses need."""
        return self._cut_outs.get(foreground)[1]

    def size_px(self, background: int) -> tuple[int, int]:
        """Width and height of the file."""
        width, height = self._back.sizes_px[background].tolist()
        return width, height

    def image(self, background: int, size_px: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
        """The background's own pixels, resampled where another size is wanted; the caller may draw into them.

        The latest are kept: a set has many more images than backgrounds, and decoding one takes as long as all
        the rest but encoding.

        Raises:
            DataError: the file is gone, broken or changed.
        """
        return self._decoded.get((background, size_px)).copy()

    def _decode(self, canvas: _Canvas) -> UInt8[np.ndarray, "h w 3"]:
        background, size_px = canvas
        own_px, name = self.size_px(background), self._back.paths[background]
        path = self._back.root / name
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_BGR) if path.is_file() else None
        if pixels is None or pixels.shape[:2] != own_px[::-1]:
            # It says what is wrong, or reads what OpenCV cannot.
            pixels = np.ascontiguousarray(read_rgb(path, name, own_px)[..., ::-1])
        if size_px != own_px:
            shrinks = size_px[0] < own_px[0]
            pixels = cv2.resize(
                pixels,
                size_px,
                interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC,
            )
        return np.asarray(pixels)

    def objects(self, background: int, size_px: tuple[int, int]) -> Sequence[OwnObject]:
        """The background's own objects on a canvas of this size; the latest are kept, drawing them costs more."""
        if not len(self._back.labels):
            return ()
        return self._own.get((background, size_px))

    def _draw_objects(self, canvas: _Canvas) -> Sequence[OwnObject]:
        background, size_px = canvas
        notes, own_px = self._back, self.size_px(background)
        scale = size_px[0] / own_px[0], size_px[1] / own_px[1]
        found: list[OwnObject] = []
        for number in notes.objects_of(background).tolist():
            mask = notes.masks[number]
            x0, y0, x1, y1 = (float(v) * scale[k % 2] for k, v in enumerate(notes.boxes_px[number]))
            region = None if mask is None else self._own_mask(number, own_px, size_px)
            masked = region is not None
            if region is None:
                left, top, right, bottom = window_of((x0, y0, x1, y1), size_px)
                region = _region(
                    np.full((max(bottom - top, 0), max(right - left, 0)), 255, np.uint8),
                    left,
                    top,
                )
            if not region.mask.size:
                continue
            if masked:
                height, width = region.mask.shape
                x0, y0, x1, y1 = (
                    region.left,
                    region.top,
                    region.left + width,
                    region.top + height,
                )
            crowd, ignore = bool(notes.crowd[number]), bool(notes.ignore[number])
            key = f"{notes.name}:{notes.paths[background]}:{notes.object_names[number]}"
            found.append(
                OwnObject(
                    int(notes.labels[number]),
                    (x0, y0, x1, y1),
                    region,
                    masked,
                    crowd,
                    ignore,
                    key,
                )
            )
        return found

    def holds_objects(self, background: int) -> bool:
        """Whether it has objects of its own."""
        return bool(len(self._back.labels)) and bool(len(self._back.objects_of(background)))

    def class_of(self, foreground: int) -> str:
        """The class's name."""
        return self.classes[int(self.foreground_labels[foreground])]

    def foreground_licence(self, foreground: int) -> str:
        """As its source names it; empty where it names none."""
        return self._fore.licences[self._image_of(foreground)]

    def background_licence(self, background: int) -> str:
        """As its source names it; empty where it names none."""
        return self._back.licences[background]

    def foreground_sha256(self, foreground: int) -> str:
        """Of the file it is cut from."""
        return self._digest(self._fore.root / self._fore.paths[self._image_of(foreground)])

    def background_sha256(self, background: int) -> str:
        """Of its file."""
        return self._digest(self._back.root / self._back.paths[background])

    def foreground_index(self, key: str, sha256: str | None, where: str) -> int:
        """The number of a key that a placement holds.

        Raises:
            DataError: the source is gone, or has other contents.
        """
        index = self._place(0, key, sha256, where)
        if sha256 and self.foreground_sha256(index) != sha256:
            raise DataError(_changed(where, key, sha256, self.foreground_sha256(index)))
        return index

    def background_index(self, key: str, sha256: str | None, where: str) -> int:
        """The number of a key that a placement holds.

        Raises:
            DataError: the source is gone, or has other contents.
        """
        index = self._place(1, key, sha256, where)
        if sha256 and self.background_sha256(index) != sha256:
            raise DataError(_changed(where, key, sha256, self.background_sha256(index)))
        return index

    def describe(self) -> dict[str, object]:
        """Names, counts and licences, for the manifest."""
        fore, back = self._fore, self._back
        used = sorted({self._image_of(i) for i in range(len(self._objects))})
        return {
            "foregrounds": {
                "name": fore.name,
                "objects": len(self._objects),
                "licences": _counted([fore.licences[i] for i in used]),
            },
            "backgrounds": {
                "name": back.name,
                "images": len(back),
                "licences": _counted(back.licences),
            },
        }

    def __getstate__(self) -> dict[str, object]:
        """Workers get the index; pixels they load themselves."""
        return {**self.__dict__, "_places": None}

    def _place(self, side: int, key: str, sha256: str | None, where: str) -> int:
        if self._places is None:
            self._places = (
                {name: i for i, name in enumerate(self.foreground_keys)},
                {name: i for i, name in enumerate(self.background_keys)},
            )
        index = self._places[side].get(key)
        if index is None:
            content = f" (sha256 {sha256})" if sha256 else ""
            raise DataError(
                f"{where}: expected the source {key}{content} as when the placements were made, got none of that name; "
                "restore the file or drop these rows"
            )
        return index

    def _image_of(self, foreground: int) -> int:
        return int(self._fore.image_index[self._objects[foreground]])

    def _digest(self, path: Path) -> str:
        name = str(path)
        if name not in self._digests:
            try:
                self._digests[name] = hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError as error:
                raise DataError(
                    f"{name}: expected a file that can be read, got: {error.strerror}; restore it"
                ) from None
        return self._digests[name]

    def _cut_out(self, foreground: int) -> tuple[Sprite, Float32[np.ndarray, "points 2"]]:
        rgba = self._patch(foreground)
        alpha = torch.from_numpy(rgba[None, None, ..., 3] / np.float32(255))
        return Sprite.of(rgba), support_points(alpha)[0].numpy()

    def _patch(self, foreground: int) -> UInt8[np.ndarray, "side side 4"]:
        notes, image = self._fore, self._image_of(foreground)
        path, (width, height) = notes.paths[image], notes.sizes_px[image].tolist()
        mask = notes.masks[int(self._objects[foreground])]
        assert mask is not None  # by the choice of objects
        near = extent(mask, (width, height))
        alpha = draw_mask(mask, notes.root, (width, height), near)
        tight = box_of(alpha)
        if tight is None:
            raise DataError(
                f"{self.foreground_keys[foreground]}: expected a mask with at least one pixel inside the image, got an "
                "empty one; set cleanup: true, which leaves such masks out"
            )
        left, top, right, bottom = tight
        colours = read_rgb(notes.root / path, path, (width, height))[..., ::-1]
        colours = colours[near[1] + top : near[1] + bottom, near[0] + left : near[0] + right]
        stretch = stretch_of(notes, image, squash=self.square)
        return cut_patch(colours, alpha[top:bottom, left:right], max(colours.shape[:2]), stretch)

    def _own_mask(self, number: int, own_px: tuple[int, int], size_px: tuple[int, int]) -> Drawn:
        notes = self._back
        mask = notes.masks[number]
        assert mask is not None
        window = extent(mask, own_px) if size_px == own_px else (0, 0, *own_px)
        drawn = draw_mask(mask, notes.root, own_px, window)
        if size_px != own_px:
            drawn = np.asarray(cv2.resize(drawn, size_px, interpolation=cv2.INTER_AREA))
        binary = (drawn > 127).view(np.uint8) * np.uint8(255)
        return _region(
            binary,
            window[0] if size_px == own_px else 0,
            window[1] if size_px == own_px else 0,
        )


def with_texture(rgba: UInt8[np.ndarray, "h w 4"], colours: UInt8[np.ndarray, "ch cw 3"]) -> Sprite:
    """The patch's alpha over other colours, as `compositing.artefacts.textured` has it."""
    height, width = rgba.shape[:2]
    return Sprite.of(np.dstack([resize(colours, (width, height)), rgba[..., 3]]))


def _region(mask: UInt8[np.ndarray, "h w"], left: int, top: int) -> Drawn:
    x, y, width, height = cv2.boundingRect(mask) if mask.size else (0, 0, 0, 0)
    tight = np.ascontiguousarray(mask[y : y + height, x : x + width])
    return Drawn(left + x, top + y, tight, cv2.countNonZero(tight) if tight.size else 0)


def _changed(where: str, key: str, expected: str, got: str) -> str:
    return (
        f"{where}: expected the source {key} with sha256 {expected} as when the placements were made, got {got}; "
        "restore the file, or empty the column to draw it as it is now"
    )


def _size_of_cut_out(made: tuple[Sprite, np.ndarray]) -> int:
    return made[0].nbytes


def _size_of_pixels(pixels: np.ndarray) -> int:
    return pixels.nbytes


def _size_of_objects(objects: Sequence[OwnObject]) -> int:
    return sum(item.region.mask.nbytes + 512 for item in objects)


def _counted(licences: Sequence[str]) -> dict[str, int]:
    """Images under each licence; `unknown` where the source names none."""
    return dict(sorted(Counter(name or "unknown" for name in licences).items()))
