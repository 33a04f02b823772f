"""MNIST's idx files, plain or gzipped."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from terse.errors import DataError

__all__ = ["read_digits", "read_idx"]

_UNSIGNED_BYTE = 0x08
_LARGEST = 1 << 32  # bytes; a header that promises more is broken


def read_idx(path: Path) -> UInt8[np.ndarray, "..."]:
    """The array of one idx file of unsigned bytes.

    Raises:
        DataError: missing, not idx, another type than unsigned byte, or shorter or longer than its header says.

    Source: LeCun, Cortes, Burges, the MNIST file format.
    """
    try:
        raw = path.read_bytes()
        data = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except FileNotFoundError:
        raise DataError(
            f"{path}: expected an idx file, got none; point data.root at a folder with MNIST's four files"
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: expected a whole idx file, got one that cannot be read ({error})") from None
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UNSIGNED_BYTE:
        raise DataError(f"{path}: expected an idx file of unsigned bytes, got one that starts with {data[:4].hex()!r}")
    rank = data[3]
    start = 4 + 4 * rank
    if len(data) < start:
        raise DataError(f"{path}: expected a header of {start} bytes, got a file of {len(data)}; it is truncated")
    shape = struct.unpack(f">{rank}I", data[4:start])
    count = math.prod(shape)  # Python integers: a hostile header overflows 64 bits
    if count > _LARGEST or len(data) - start != count:
        raise DataError(
            f"{path}: expected {count:,} bytes for the shape {shape}, got {len(data) - start:,}; "
            "the file is truncated or not the right one"
        )
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)


def read_digits(root: Path, split: str) -> tuple[UInt8[np.ndarray, "n 28 28"], UInt8[np.ndarray, " n"]]:
    """Images and labels of MNIST's `train` or `t10k` split; `.gz` where there is no plain file.

    Raises:
        DataError: a file is missing or broken, sizes disagree, or a label is above 9.
    """
    images_path, labels_path = (_find(root, f"{split}-{part}") for part in ("images-idx3-ubyte", "labels-idx1-ubyte"))
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise DataError(f"{images_path}: expected images of 28x28, got the shape {images.shape}")
    if labels.shape != (len(images),):
        raise DataError(f"{labels_path}: expected {len(images):,} labels, one an image, got the shape {labels.shape}")
    if len(labels) and labels.max() > 9:
        raise DataError(f"{labels_path}: expected labels 0 to 9, got {labels.max()}")
    return images, labels


def _find(root: Path, name: str) -> Path:
    folders = (root, root / "MNIST" / "raw")  # torchvision's layout below its root
    for folder in folders:
        for candidate in (folder / name, folder / f"{name}.gz"):
            if candidate.is_file():
                return candidate
    return root / f"{name}.gz"
