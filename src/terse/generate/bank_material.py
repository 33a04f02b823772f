"""Banks as material. Those that know no files (digits, drawn scenes) as material have their float images made bytes."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from terse.compositing.raster import Drawn, Sprite
from terse.errors import DataError
from terse.generate.material import Material, OwnObject, PhotoMaterial, with_texture
from terse.protocols import BackgroundBank, ForegroundBank
from terse.sources.bank import PhotoBackgrounds, PhotoForegrounds
from terse.sources.patches import box_of, resize, window_of

__all__ = ["BankMaterial", "material_of_banks"]


def material_of_banks(
    foregrounds: ForegroundBank, backgrounds: BackgroundBank, classes: tuple[str, ...], *, square: bool = False
) -> Material:
    """What the banks hold, under their numbers, at its own size where that is known.

    Args:
        foregrounds: what to paste.
        backgrounds: what to paste on.
        classes: the set's.
        square: poses were made on a square canvas to which photographs are squashed.
    """
    if isinstance(foregrounds, PhotoForegrounds) and isinstance(backgrounds, PhotoBackgrounds):
        return PhotoMaterial(foregrounds.annotations, backgrounds.annotations, classes, square=square)
    return BankMaterial(foregrounds, backgrounds, classes)


class BankMaterial:
    """What `fetch` gives, at the size at which it gives it. Hashes are those of the bytes."""

    def __init__(
        self,
        foregrounds: ForegroundBank,
        backgrounds: BackgroundBank,
        classes: tuple[str, ...],
    ) -> None:
        self.classes = classes
        self.square = False
        self.skipped: tuple[str, ...] = ()
        self.foreground_keys: Sequence[str] = foregrounds.keys
        self.foreground_labels: Int64[np.ndarray, " n"] = foregrounds.labels
        self.background_keys: Sequence[str] = backgrounds.keys
        self._fore, self._back = foregrounds, backgrounds
        self._sizes: dict[int, tuple[int, int]] = {}
        self._places = tuple({key: i for i, key in enumerate(bank.keys)} for bank in (foregrounds, backgrounds))

    def sprite(self, foreground: int) -> Sprite:
        """The cut-out, ready to be drawn."""
        return Sprite.of(self._rgba(foreground))

    def textured(self, foreground: int, background: int) -> Sprite:
        """An artefact patch: its shape, under the colours of a background laid over the whole patch."""
        return with_texture(self._rgba(foreground), self.image(background, self.size_px(background)))

    def hull(self, foreground: int) -> Float32[np.ndarray, "points 2"]:
        """The outermost points of its mask."""
        return np.asarray(self._fore.fetch(np.array([foreground])).hull[0].numpy())

    def size_px(self, background: int) -> tuple[int, int]:
        """Width and height of the bank's image."""
        if background not in self._sizes:
            shape = self._back.fetch(np.array([background])).images.shape
            self._sizes[background] = (shape[-1], shape[-2])
        return self._sizes[background]

    def image(self, background: int, size_px: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
        """BGR; the caller may draw into it."""
        pixels = _bytes(self._back.fetch(np.array([background])).images[0])
        return np.ascontiguousarray(resize(pixels, size_px))

    def objects(self, background: int, size_px: tuple[int, int]) -> Sequence[OwnObject]:
        """The background's own objects."""
        batch = self._back.fetch(np.array([background]))
        width, height = self.size_px(background)
        scale = np.array([size_px[0] / width, size_px[1] / height])
        found = []
        for number, label in enumerate(batch.truth.labels.tolist()):
            x0, y0, x1, y1 = (batch.truth.boxes_px[number].double().numpy().reshape(2, 2) * scale).ravel().tolist()
            if batch.truth.masks is None:
                left, top, right, bottom = window_of((x0, y0, x1, y1), size_px)
                mask = np.full((max(bottom - top, 0), max(right - left, 0)), 255, np.uint8)
            else:
                whole = (
                    resize(
                        batch.truth.masks[number].numpy().astype(np.uint8) * np.uint8(255),
                        size_px,
                    )
                    > 127
                )
                left, top, right, bottom = box_of(whole.view(np.uint8)) or (0, 0, 0, 0)
                mask = whole[top:bottom, left:right].astype(np.uint8) * np.uint8(255)
                x0, y0, x1, y1 = left, top, right, bottom
            if mask.size:
                region = Drawn(left, top, mask, int(np.count_nonzero(mask)))
                ignore = bool(batch.truth.ignore[number])
                key = f"{self.background_keys[background]}:{number}"
                masked = batch.truth.masks is not None
                found.append(OwnObject(label, (x0, y0, x1, y1), region, masked, False, ignore, key))
        return found

    def holds_objects(self, background: int) -> bool:
        """Whether it has objects of its own."""
        return bool(len(self._back.fetch(np.array([background])).truth.labels))

    def class_of(self, foreground: int) -> str:
        """The class's name."""
        return self.classes[int(self.foreground_labels[foreground])]

    def foreground_licence(self, foreground: int) -> str:
        """None is known."""
        return ""

    def background_licence(self, background: int) -> str:
        """None is known."""
        return ""

    def foreground_sha256(self, foreground: int) -> str:
        """Of the patch's bytes."""
        return hashlib.sha256(self._rgba(foreground).tobytes()).hexdigest()

    def background_sha256(self, background: int) -> str:
        """Of the image's bytes."""
        return hashlib.sha256(self.image(background, self.size_px(background)).tobytes()).hexdigest()

    def foreground_index(self, key: str, sha256: str | None, where: str) -> int:
        """The number of a key that a placement holds.

        Raises:
            DataError: the source is gone.
        """
        return _index(self._places[0], key, sha256, where)

    def background_index(self, key: str, sha256: str | None, where: str) -> int:
        """The number of a key that a placement holds.

        Raises:
            DataError: the source is gone.
        """
        return _index(self._places[1], key, sha256, where)

    def describe(self) -> dict[str, object]:
        """Counts, for the manifest."""
        return {
            "foregrounds": {"objects": len(self._fore)},
            "backgrounds": {"images": len(self._back)},
        }

    def _rgba(self, foreground: int) -> UInt8[np.ndarray, "h w 4"]:
        cut = self._fore.fetch(np.array([foreground]))
        alpha = cut.alpha[0]
        colour = cut.images[0].expand(-1, alpha.shape[-2], alpha.shape[-1])
        opacity = (alpha[0] * 255).round().byte().numpy()
        return np.ascontiguousarray(np.dstack([_bytes(colour), opacity]))


def _bytes(image: Tensor) -> UInt8[np.ndarray, "h w 3"]:
    """Grey or RGB floats to BGR bytes."""
    colour = image.expand(3, -1, -1) if image.shape[0] == 1 else image
    return np.ascontiguousarray((colour.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()[..., ::-1])


def _index(places: Mapping[str, int], key: str, sha256: str | None, where: str) -> int:
    if key in places:
        return places[key]
    content = f" (sha256 {sha256})" if sha256 else ""
    raise DataError(
        f"{where}: expected the source {key}{content} as when the placements were made, got none of that name; "
        "make it again with the same settings"
    )
