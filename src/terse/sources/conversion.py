"""Decoded images to arrays of bytes, a strip at a time: no second whole copy stands in memory in between."""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from terse.errors import DataError

__all__ = ["SIDEWAYS", "TURNS", "alpha_of", "numbers_of_colours", "rgb_of", "turned"]

_STRIP_PX, _MOST_COLOURS = 1 << 20, 1 << 16
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FLIPS = {  # steps along rows and columns, after rows and columns were exchanged where the turn is sideways
    TURNS[2]: (1, -1),
    TURNS[3]: (-1, -1),
    TURNS[4]: (-1, 1),
    TURNS[5]: (1, 1),
    TURNS[6]: (1, -1),
    TURNS[7]: (-1, -1),
    TURNS[8]: (-1, 1),
}
SIDEWAYS = (TURNS[5], TURNS[6], TURNS[7], TURNS[8])


def rgb_of(image: Image.Image, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """The colours of a loaded image, without its opacity.

    Raises:
        DataError: floating-point numbers outside 0 to 1.
    """
    if image.mode == "F":
        if not all(np.isfinite(strip).all() and strip.min() >= 0 and strip.max() <= 1 for strip in _raw_strips(image)):
            low, high = image.getextrema()
            raise DataError(
                f"{name}: expected integer pixels or floating-point ones from 0 to 1, got {low:g} to {high:g}; "
                "save it with 8 or 16 bits"
            )
        return _in_strips(image, (3,), lambda strip: _in_colour((np.asarray(strip) * 255).round()))
    if image.mode.startswith("I"):
        # Pillow's own conversion clips 16 bits to 8; we keep the upper ones.
        deep = image.mode != "I" or any(strip.max() > 255 for strip in _raw_strips(image))
        shift = 8 if deep else 0
        return _in_strips(image, (3,), lambda strip: _in_colour(_upper_bits(np.asarray(strip), shift)))
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA"):
        return _in_strips(image, (3,), lambda strip: np.asarray(strip.convert("RGBA"))[..., :3])
    return _in_strips(image, (3,), lambda strip: np.asarray(strip.convert("RGB")))


def _raw_strips(image: Image.Image) -> Iterator[np.ndarray]:
    return (
        np.asarray(image.crop((0, rows.start, image.width, rows.stop))) for rows in _strips(image.height, image.width)
    )


def _in_colour(grey: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def _upper_bits(values: np.ndarray, shift: int) -> np.ndarray:
    values = values.astype(np.int64)
    return np.clip(values, 0, 65535) >> shift if shift else values


def _strips(height: int, width: int) -> Iterator[slice]:
    """Rows of about a megapixel each."""
    rows = max(1, _STRIP_PX // width)
    return (slice(top, min(height, top + rows)) for top in range(0, height, rows))


def _in_strips(
    image: Image.Image, channels: tuple[int, ...], pixels_of: Callable[[Image.Image], np.ndarray]
) -> UInt8[np.ndarray, "h w ..."]:
    """What a conversion makes of the image, without a second whole copy in between."""
    found = np.empty((image.height, image.width, *channels), dtype=np.uint8)
    for rows in _strips(image.height, image.width):
        found[rows] = pixels_of(image.crop((0, rows.start, image.width, rows.stop)))
    return found


def turned(pixels: UInt8[np.ndarray, "..."], turn: Image.Transpose | None) -> UInt8[np.ndarray, "..."]:
    """As Pillow's `transpose` does it."""
    if turn is None:
        return pixels
    sideways = pixels.swapaxes(0, 1) if turn in SIDEWAYS else pixels
    down, across = _FLIPS[turn]
    return np.ascontiguousarray(sideways[::down, ::across])


def numbers_of_colours(image: Image.Image, name: str) -> UInt8[np.ndarray, "h w"]:
    """A mask whose palette was lost: VOC's colours are its numbers again, greys their value, others one number each."""
    pixels = _in_strips(image, (3,), lambda strip: np.asarray(strip.convert("RGB")))
    strips = [pixels[rows] for rows in _strips(*pixels.shape[:2])]
    found: Counter[int] = Counter()
    for strip in strips:
        of_strip, often = np.unique(_packed(strip), return_counts=True)
        found.update(dict(zip(of_strip.tolist(), often.tolist(), strict=True)))
        if len(found) > _MOST_COLOURS:
            break
    colours = np.array(sorted(found), dtype=np.int64)
    counts = np.array([found[colour] for colour in colours.tolist()])
    if (colours % 0x010101 == 0).all():
        numbers = colours // 0x010101
    elif np.isin(colours, _PALETTE).all():
        numbers = np.argsort(_PALETTE)[np.searchsorted(np.sort(_PALETTE), colours)]
    elif len(colours) <= 255:
        background = 0 if 0 in colours else colours[counts.argmax()]
        numbers = np.cumsum(colours != background) * (colours != background)
    else:
        raise DataError(
            f"{name}: expected a mask of at most 255 colours, got {len(colours):,}; save it as an 8-bit PNG, not as JPEG"
        )
    numbers = numbers.astype(np.uint8)
    return np.concatenate([numbers[np.searchsorted(colours, _packed(strip))] for strip in strips])


def _packed(pixels: UInt8[np.ndarray, "h w 3"]) -> Int64[np.ndarray, "h w"]:
    """Each colour in one number."""
    return np.asarray(pixels.astype(np.int64) @ np.array([65536, 256, 1]))


def _voc_palette() -> Int64[np.ndarray, "256"]:
    """VOC's colour of each number, packed in one integer: its bits are dealt out to red, green and blue in turn."""
    number = np.arange(256)
    colours = np.zeros((256, 3), dtype=np.int64)
    for bit in range(7, -1, -1):
        for channel in range(3):
            colours[:, channel] |= ((number >> channel) & 1) << bit
        number >>= 3
    return np.asarray(colours @ np.array([65536, 256, 1]))


_PALETTE = _voc_palette()


def alpha_of(image: Image.Image) -> UInt8[np.ndarray, "h w"]:
    """Its opacity."""
    return _in_strips(image, (), lambda strip: np.asarray(strip.convert("RGBA"))[..., 3])
