"""Files to pixels, by Pillow: every kind of photograph that people have, one sentence for the others.

EXIF rotation, CMYK, 16 bits, palettes and animations (their first frame) are handled. An image may turn its
pixels by EXIF while its annotations were drawn on the unturned ones: the annotated width and height decide.
"""

import os
import re
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from terse.errors import DataError
from terse.sources.conversion import SIDEWAYS, TURNS, alpha_of, numbers_of_colours, rgb_of, turned

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_BYTES",
    "MAX_PIXELS",
    "UNREADABLE",
    "SizeError",
    "probe",
    "probe_with_turn",
    "read_alpha",
    "read_rgb",
    "read_values",
]

IMAGE_SUFFIXES = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".avif",
        ".ppm", ".pgm", ".pnm", ".jp2", ".j2k", ".j2c", ".jpx", ".jpf", ".heic", ".heif", ".jxl",
    }
)  # fmt: skip
"""Endings of photographs. Those of kinds that are not read are among them, so that they are named and not passed over."""
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises of a file that it cannot read, or will not."""
MAX_PIXELS = 64_000_000
MAX_BYTES = 400_000_000
"""An image of more pixels is refused, and one that takes more memory to decode: every worker may hold one."""

# Named, so that no file is handed to a decoder that runs programs (EPS) or reads documents.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "AVIF", "JPEG2000")
_JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL ")
# MAX_PIXELS is lower than Pillow's own limit, and its refusal is a sentence; a corrupt EXIF beside sound pixels is no news.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
Image.init()  # here, because threads that race to load the decoders find some missing
_LARGE_PX = 16_000_000
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
            _load(image, name)
            rgb_of(image, name)
        elif not _ends_well(path, image.format or "", raw[0] * raw[1]):
            if image.format == "WEBP" and _is_plain_and_large(image):
                _decoded_by_opencv(path, name)
            else:
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
        turn, size = _turn(image, name, size_px), image.size
        if shrink_to_px is not None and image.format in ("JPEG", "MPO"):
            image.draft(None, shrink_to_px[::-1] if turn in SIDEWAYS else shrink_to_px)
        large = image.size == size and _is_plain_and_large(image)
        if not large:
            _load(image, name)
            pixels = rgb_of(image, name)
    if large:
        image.close()  # a PNG's pixels were read for EXIF behind them
        pixels = _decoded_by_opencv(path, name)
    return turned(pixels, turn)


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
        alpha = alpha_of(image)
    return turned(alpha, turn)


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
            return numbers_of_colours(image, name)
        if image.mode not in ("P", "L"):
            raise DataError(
                f"{name}: expected a mask with one number a pixel (palette, grey or black and white), "
                f"got mode {image.mode}; save it as an 8-bit PNG"
            )
        return np.array(image)


def _open(path: Path, name: str) -> Image.Image:
    if not os.path.isfile(path):  # noqa: PTH113 - Path's own raises where a name is too long
        got = f"a link to {os.path.realpath(path)}, where no file is" if os.path.islink(path) else f"nothing at {path}"  # noqa: PTH114 - as above
        raise DataError(f"{name}: expected an image file, got {got}; restore it or leave it out")
    try:
        image = Image.open(path, formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = re.search(r"\((\d+) pixels\)", str(error))
        raise DataError(_too_large(name, int(pixels[1]) if pixels else MAX_PIXELS + 1)) from None
    except PermissionError as error:
        raise DataError(
            f"{name}: expected an image file, got: {error.strerror}; have it read, or leave it out"
        ) from None
    except Exception as error:
        raise DataError(f"{name}: expected an image file, got {_unknown(path, error)}") from None
    area_px = image.width * image.height
    if area_px > MAX_PIXELS or area_px * _bytes_a_pixel(image) > MAX_BYTES:
        image.close()
        raise DataError(_too_large(name, area_px, int(area_px * _bytes_a_pixel(image))))
    return image


def _is_plain_and_large(image: Image.Image) -> bool:
    """Whether OpenCV decodes it instead: to the same pixels, in three bytes each where Pillow takes seven and more."""
    plain = image.mode in ("RGB", "L") and "transparency" not in image.info
    deep = image.format == "PNG" and any("16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    known = image.format in ("JPEG", "MPO", "PNG", "WEBP")
    return known and plain and not deep and image.width * image.height > _LARGE_PX


def _bytes_a_pixel(image: Image.Image) -> float:
    """Memory that decoding takes at its peak, measured: ours, Pillow's, and that of a decoder that holds the whole."""
    if not _is_plain_and_large(image):
        return 17 if image.format == "WEBP" else 7
    if image.format == "WEBP":
        return 8
    sampled = [across * down for _, across, down, _ in getattr(image, "layer", ())]
    coefficients = 2 * sum(sampled) / max(sampled) if image.info.get("progressive") and sampled else 0
    return 3 + max(3, coefficients)  # the turned copy, or what a progressive JPEG is put together from


def _decoded_by_opencv(path: Path, name: str) -> UInt8[np.ndarray, "h w 3"]:
    import cv2

    whole = _ends_well(path, "JPEG", 0) or _ends_well(path, "PNG", 0) or path.read_bytes()[8:12] == b"WEBP"
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if whole else None
    if pixels is None:
        raise DataError(_damaged(name, "OpenCV"))
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels), dtype=np.uint8)


def _unknown(path: Path, error: Exception) -> str:
    """What a file is that is not read, and what to do."""
    with path.open("rb") as file:
        head = file.read(12)
    if not head:
        return "an empty file; restore it or leave it out"
    heic = head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc")
    if heic or head.startswith(_JPEG_XL):
        return f"{'HEIC' if heic else 'JPEG XL'}, which is not read; convert it to JPEG or PNG"
    return f"bytes that no decoder knows ({type(error).__name__}); restore it or leave it out"


def _too_large(name: str, pixels: int, size_bytes: int = 0) -> str:
    if pixels > MAX_PIXELS:
        return f"{name}: expected at most {MAX_PIXELS / 1e6:g} megapixels, got {pixels / 1e6:g}; make a smaller copy"
    return (
        f"{name}: expected at most {MAX_BYTES / 1e6:g} MB of memory to decode it, got {size_bytes / 1e6:.0f} for "
        f"{pixels / 1e6:.0f} megapixels of its kind; make a smaller copy, or save it as a baseline JPEG or a PNG without alpha"
    )


def _damaged(name: str, found_by: str) -> str:
    return (
        f"{name}: expected a whole image, got one that is cut short or damaged ({found_by}); restore it or leave it out"
    )


def _load(image: Image.Image, name: str) -> None:
    try:
        image.load()
    except Exception as error:
        raise DataError(_damaged(name, type(error).__name__)) from None


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
    return number if number in TURNS else 1


def _turn(image: Image.Image, name: str, size_px: tuple[int, int]) -> Image.Transpose | None:
    """How to turn the raw pixels so that they have the indexed size; None is not at all."""
    orientation = _orientation(image, name)
    upright = image.size[::-1] if orientation >= 5 else image.size
    if size_px == upright:
        return TURNS.get(orientation)
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
