"""Photographs by OpenCV, where its pixels are those of `read_rgb`: a JPEG is there three times as soon."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from terse.sources.decode import read_rgb

__all__ = ["read_bgr"]

# By EXIF's number: whether rows and columns are exchanged first, and OpenCV's number of the flip that follows.
_TURNS: dict[int, tuple[bool, int | None]] = {
    2: (False, 1),
    3: (False, -1),
    4: (False, 0),
    5: (True, None),
    6: (True, 1),
    7: (True, -1),
    8: (True, 0),
}
_AS_STORED = cv2.IMREAD_COLOR_BGR | cv2.IMREAD_IGNORE_ORIENTATION
# Chunks of a PNG that may turn it, of which OpenCV knows the second alone, or that name another frame the first.
_ODD_CHUNKS = (
    b"acTL",
    b"eXIf",
    b"iTXtXML:com.adobe.xmp",
    b"tEXtRaw profile type exif",
    b"zTXtRaw profile type exif",
)


def read_bgr(path: Path, name: str, size_px: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """The first frame's colours in OpenCV's order: what `read_rgb` reads, give or take 1 in a JPEG of CMYK.

    Args:
        path: the file.
        name: what to call it in an error.
        size_px: width and height that `probe` gave.

    Raises:
        DataError: the file cannot be read, or has changed since it was indexed.
    """
    file = _bytes(path)
    orientation = _orientation(file)
    stored = None if orientation is None else cv2.imdecode(np.frombuffer(file, np.uint8), _AS_STORED)
    if stored is not None and orientation is not None:
        sideways, flip = _TURNS.get(orientation, (False, None))
        pixels = stored if not sideways else cv2.transpose(stored)
        pixels = pixels if flip is None else cv2.flip(pixels, flip)
        if pixels.shape[:2] == size_px[::-1]:
            return np.asarray(pixels, dtype=np.uint8)
    # It says what is wrong, or reads what OpenCV cannot, or as it was annotated.
    return np.ascontiguousarray(read_rgb(path, name, size_px)[..., ::-1])


def _bytes(path: Path) -> bytes:
    """Of a file, none where there is none to be read; NumPy's own reader asks the system three times as often."""
    try:
        with path.open("rb", buffering=0) as file:
            return file.readall()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError):
        return b""


def _orientation(file: bytes) -> int | None:
    """EXIF's number as Pillow reads it, OpenCV's own reader differs; None of a file that is better left to Pillow.

    Those are all but whole JPEG, PNG and WebP: OpenCV does not turn AVIF, and reads see-through TIFF and Lab as other colours.
    """
    if file.startswith(b"\x89PNG\r\n\x1a\n"):
        # Pillow decodes the pixels for EXIF, which may stand behind them.
        return None if any(file.startswith(_ODD_CHUNKS, at) for at in _chunks(file)) else 1
    jpeg = file.startswith(b"\xff\xd8\xff") and b"\xff\xd9" in file[-1024:]
    if not jpeg and (file[:4], file[8:12]) != (b"RIFF", b"WEBP"):
        return None
    try:
        with Image.open(BytesIO(file), formats=("JPEG", "WEBP")) as image:
            several = image.format == "WEBP" and getattr(image, "is_animated", False)
            return None if several else image.getexif().get(0x0112, 1)
    except Exception:
        return None


def _chunks(png: bytes) -> Iterator[int]:
    """Where the name of each chunk begins."""
    at = 8
    while at + 8 <= len(png):
        yield at + 4
        at += 12 + int.from_bytes(png[at : at + 4])
