"""Files to pixels, by Pillow: every kind of photograph that people have, one sentence for the others.

EXIF rotation, CMYK, 16 bits, palettes and animations (their first frame) are handled. An image may turn its
pixels by EXIF while its annotations were drawn on the unturned ones: the annotated width and height decide.
"""

import os
import re
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from terse.errors import DataError

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "SizeError",
    "probe",
    "probe_with_turn",
    "read_alpha",
    "read_rgb",
    "read_values",
]

IMAGE_SUFFIXES = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".avif", ".jp2",
        ".heic", ".heif",
    }
)  # fmt: skip
MAX_PIXELS = 64_000_000
"""An image of more pixels is refused: one decoded copy would take 200 MB in every worker."""

# Named, so that no file is handed to a decoder that runs programs (EPS) or reads documents.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "AVIF", "JPEG2000")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (_TURNS[5], _TURNS[6], _TURNS[7], _TURNS[8])
# MAX_PIXELS is lower than Pillow's own limit, and its refusal is a sentence; a corrupt EXIF beside sound pixels is no news.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
Image.init()  # here, because threads that race to load the decoders find some missing
_MOST_PX_A_BYTE = 2000  # a JPEG of one colour holds some 85 to 500 pixels in a byte


class SizeError(DataError):
    """An image of another size than its annotations say."""


def probe(path: Path, name: str, declared_px: tuple[int, int] | None = None) -> tuple[int, int]:
    """Width and height as annotations see them, after a look at header and end of the file, without decoding.

    Args:
        path: the file.
        name: what to call it in an error.
        declared_px: the size that annotations give, if they do.

    Raises:
        SizeError: of another size than declared.
        DataError: missing, not an image, cut short or too large.
    """
    return probe_with_turn(path, name, declared_px)[0]


def probe_with_turn(path: Path, name: str, declared_px: tuple[int, int] | None = None) -> tuple[tuple[int, int], bool]:
    """As `probe`, and whether EXIF turns the pixels."""
    image = _open(path, name)
    with image:
        raw = image.size
        orientation = _orientation(image, name)
        upright = raw[::-1] if orientation >= 5 else raw
        if declared_px is not None and declared_px not in (upright, raw):
            raise SizeError(
                f"{name}: expected the annotated size {declared_px[0]}x{declared_px[1]}, "
                f"got {upright[0]}x{upright[1]}; the annotations belong to another copy of this image"
            )
        if image.mode == "F":
            _rgb(image, name)
        elif not _ends_well(path, image.format or "", raw[0] * raw[1]):
            _load(image, name)
        return upright if declared_px is None else declared_px, orientation != 1


def read_rgb(
    path: Path, name: str, size_px: tuple[int, int], shrink_to_px: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """The first frame's colours.

    Args:
        path: the file.
        name: what to call it in an error.
        size_px: width and height that `probe` gave.
        shrink_to_px: the result will be resized to this: a large JPEG may come smaller, but never below it.

    Raises:
        DataError: the file cannot be read, or has changed since it was indexed.
    """
    image = _open(path, name)
    with image:
        turn = _turn(image, name, size_px)
        if shrink_to_px is not None and image.format in ("JPEG", "MPO"):
            image.draft(None, shrink_to_px[::-1] if turn in _SIDEWAYS else shrink_to_px)
        _load(image, name)
        return _rgb(image if turn is None else image.transpose(turn), name)


def read_alpha(path: Path, name: str, size_px: tuple[int, int] | None = None) -> UInt8[np.ndarray, "h w"]:
    """The alpha channel of an image that has one.

    Raises:
        DataError: the file cannot be read or has no alpha channel.
    """
    image = _open(path, name)
    with image:
        turn = _turn(image, name, size_px or probe(path, name))
        _load(image, name)
        if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
            raise DataError(
                f"{name}: expected an alpha channel that cuts the object out, got mode {image.mode}; "
                "save it as an RGBA PNG, or put a mask file beside it"
            )
        turned = image if turn is None else image.transpose(turn)
        return np.array(turned.convert("RGBA"))[..., 3].copy()


def read_values(path: Path, name: str) -> UInt8[np.ndarray, "h w"]:
    """The numbers in a mask file: palette indices, grey values, or 0 and 255 of a bitmap.

    Raises:
        DataError: the file cannot be read, or is not a mask.
    """
    image = _open(path, name)
    with image:
        _load(image, name)
        if image.mode == "1":
            return np.array(image.convert("L"))
        if image.mode in ("RGB", "RGBA"):
            return _numbers_of_colours(np.array(image.convert("RGB")), name)
        if image.mode not in ("P", "L"):
            raise DataError(
                f"{name}: expected a mask with one number a pixel (palette, grey or black and white), "
                f"got mode {image.mode}; save it as an 8-bit PNG"
            )
        return np.array(image)


def _numbers_of_colours(pixels: UInt8[np.ndarray, "h w 3"], name: str) -> UInt8[np.ndarray, "h w"]:
    """A mask whose palette was lost: VOC's colours are its numbers again, greys their value, others one number each."""
    packed = pixels.astype(np.int64) @ np.array([65536, 256, 1])
    colours, where, counts = np.unique(packed, return_inverse=True, return_counts=True)
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
    return numbers.astype(np.uint8)[where.reshape(packed.shape)]


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


def _open(path: Path, name: str) -> Image.Image:
    if not os.path.isfile(path):  # noqa: PTH113 - Path's own raises where a name is too long
        got = f"a link to {os.path.realpath(path)}, where no file is" if os.path.islink(path) else f"nothing at {path}"  # noqa: PTH114 - as above
        raise DataError(f"{name}: expected an image file, got {got}; restore it or leave it out")
    try:
        image = Image.open(path, formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = re.search(r"\((\d+) pixels\)", str(error))
        raise DataError(_too_large(name, int(pixels[1]) if pixels else MAX_PIXELS + 1)) from None
    except Exception as error:
        raise DataError(f"{name}: expected an image file, got {_unknown(path, error)}") from None
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise DataError(_too_large(name, image.width * image.height))
    return image


def _unknown(path: Path, error: Exception) -> str:
    """What a file is that is not read, and what to do."""
    with path.open("rb") as file:
        head = file.read(12)
    if not head:
        return "an empty file; restore it or leave it out"
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"):
        return "HEIC, which is not read; convert it to JPEG or PNG"
    return f"bytes that no decoder knows ({type(error).__name__}); restore it or leave it out"


def _too_large(name: str, pixels: int) -> str:
    return f"{name}: expected at most {MAX_PIXELS / 1e6:g} megapixels, got {pixels / 1e6:g}; make a smaller copy"


def _load(image: Image.Image, name: str) -> None:
    try:
        image.load()
    except Exception as error:
        raise DataError(
            f"{name}: expected a whole image, got one that is cut short or damaged "
            f"({type(error).__name__}); restore it or leave it out"
        ) from None


def _orientation(image: Image.Image, name: str) -> int:
    """EXIF's number, 1 where there is none. Pillow turns TIFF by itself."""
    if image.format == "TIFF":
        return 1
    if image.format == "PNG" and "exif" not in image.info:
        # Pillow would read the pixels here, for EXIF may stand behind them; its error, once raised, is never raised again.
        _load(image, name)
    try:
        number = image.getexif().get(0x0112, 1)
    except Exception:
        return 1
    return number if number in _TURNS else 1


def _turn(image: Image.Image, name: str, size_px: tuple[int, int]) -> Image.Transpose | None:
    """How to turn the raw pixels so that they have the indexed size; None is not at all."""
    orientation = _orientation(image, name)
    upright = image.size[::-1] if orientation >= 5 else image.size
    if size_px == upright:
        return _TURNS.get(orientation)
    if size_px == image.size:
        return None
    raise DataError(
        f"{name}: expected {size_px[0]}x{size_px[1]} as when it was indexed, got {upright[0]}x{upright[1]}; "
        "the file was changed: start again"
    )


def _ends_well(path: Path, kind: str, area_px: int) -> bool:
    """Whether the file's last bytes are those of a whole one; False where only decoding can tell."""
    mark = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND"}.get(kind)
    if mark is None:
        return False
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if kind != "PNG" and area_px > _MOST_PX_A_BYTE * size:
            raise DataError(
                f"{path.name}: expected an image's data, got {size:,} bytes for {area_px:,} pixels; the file ends after its header"
            )
        file.seek(max(0, size - 1024))
        return mark in file.read()


def _rgb(image: Image.Image, name: str) -> UInt8[np.ndarray, "h w 3"]:
    if image.mode == "F":
        _load(image, name)
        grey = np.asarray(image)
        if not (np.isfinite(grey).all() and grey.min() >= 0 and grey.max() <= 1):
            raise DataError(
                f"{name}: expected integer pixels or floating-point ones from 0 to 1, got {grey.min():g} to {grey.max():g}; "
                "save it with 8 or 16 bits"
            )
        return np.repeat((grey * 255).round().astype(np.uint8)[..., None], 3, axis=2)
    if image.mode.startswith("I"):
        # Pillow's own conversion clips 16 bits to 8; we keep the upper ones.
        deep = np.asarray(image).astype(np.int64)
        grey = (np.clip(deep, 0, 65535) >> 8 if image.mode != "I" or deep.max() > 255 else deep).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA"):
        return np.ascontiguousarray(np.array(image.convert("RGBA"))[..., :3])
    return np.array(image.convert("RGB"))
