"""Digits in memory: white ink whose alpha is the ink, black backgrounds, labelled images; and affNIST.

affNIST comes in official .mat batches; where they cannot be had, the like is generated from MNIST.
"""

import gzip
import io
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from terse.compositing.compose import compose
from terse.errors import DataError
from terse.folders import inflated_limit
from terse.poses import AffinePoses
from terse.poses.maps import support_points
from terse.protocols import ForegroundBank
from terse.sources.digits.matfile import read_structure
from terse.types import Backgrounds, Foregrounds, Truth

__all__ = [
    "AFFNIST_RANGES",
    "BlackBackgrounds",
    "DigitForegrounds",
    "LabelledImages",
    "affnist_like",
    "read_affnist",
    "read_affnist_batches",
    "read_digits",
    "read_idx",
]

_CANVAS = 40
_CHUNK = 5000
_CORNERS = [[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]
# rotation in degrees, shift as a fraction of what keeps all ink inside, shear along x, expansion of each axis
AFFNIST_RANGES = AffinePoses((-20.0, 20.0), (-1.0, 1.0), (-0.2, 0.2), (0.8, 1.2))
_DRAWN_TOGETHER = 1000
_UNSIGNED_BYTE = 0x08
_LARGEST = 1 << 32  # bytes; a header that promises more is broken


class DigitForegrounds:
    """MNIST digits padded to 40x40: the ink is the alpha, the colour is white.

    Colour and alpha both being the ink would square it. `whole` takes the canvas for the digit's extent: at scale 1 it
    then has no free play, and stays where it is.

    Source: paper A.1 (padding); ink as alpha alone is ours.
    """

    def __init__(
        self, images: UInt8[Tensor, "n h w"], labels: Int64[np.ndarray, " n"], name: str, *, whole: bool = False
    ) -> None:
        self._images = _pad(images)
        self.labels = labels
        self.keys: Sequence[str] = [f"{name}:{i}" for i in range(len(labels))]
        self.classes = tuple(str(digit) for digit in range(10))
        chunks = [support_points(part[:, None].float()) for part in torch.split(self._images, _CHUNK)]
        self._hull = torch.cat(chunks) if chunks else torch.zeros(0, 1, 2)
        if whole:
            self._hull = torch.tensor(_CORNERS).expand(len(labels), -1, -1)
        self._labels = torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> Foregrounds:
        """The digits of these numbers."""
        rows = torch.from_numpy(indices)
        alpha = self._images[rows][:, None].float().div(255)
        return Foregrounds(torch.ones(len(rows), 1, 1, 1), alpha, self._labels[rows], self._hull[rows])


class BlackBackgrounds:
    """One black canvas.

    Source: paper 4.1.
    """

    def __init__(self, canvas_px: int = _CANVAS) -> None:
        self.keys: Sequence[str] = ["black"]
        self._image = torch.zeros(1, 1, canvas_px, canvas_px)

    def __len__(self) -> int:
        return 1

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> Backgrounds:
        """The same canvas, so many times, without copying it."""
        return Backgrounds(self._image.expand(len(indices), -1, -1, -1), Truth.empty(len(indices)))


class LabelledImages:
    """Grey images with one label each, in memory as bytes."""

    def __init__(self, images: UInt8[Tensor, "n h w"], labels: Int64[np.ndarray, " n"]) -> None:
        self._images = _pad(images)
        self._labels = torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self._labels)

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> tuple[Float[Tensor, "b 1 h w"], Truth]:
        """Images in [0, 1] and their labels."""
        rows = torch.from_numpy(indices)
        return self._images[rows][:, None].float().div(255), Truth.of_images(self._labels[rows])


def read_affnist(path: Path) -> tuple[UInt8[np.ndarray, "n 40 40"], UInt8[np.ndarray, " n"]]:
    """Images and labels of one official batch (`test.mat`, `1.mat`, ...).

    Raises:
        DataError: missing, not a MATLAB file, or without affNIST's fields.

    Source: Tieleman 2013, affNIST's file format.
    """
    if not path.is_file():
        raise DataError(f"{path}: expected an affNIST batch, got no such file")
    data = read_structure(path, "affNISTdata")
    if not {"image", "label_int"} <= set(data):
        raise DataError(
            f"{path}: expected an affNIST batch with affNISTdata.image and .label_int, got {', '.join(data) or 'no field'}"
        )
    images, labels = data["image"], data["label_int"].ravel()
    if images.ndim != 2 or images.shape != (1600, len(labels)):
        raise DataError(
            f"{path}: expected images of 1600 pixels for {len(labels)} labels, got the shape {images.shape}"
        )
    return np.ascontiguousarray(images.T.reshape(-1, 40, 40).astype(np.uint8)), labels.astype(np.uint8)


def read_affnist_batches(path: Path, count: int) -> tuple[UInt8[np.ndarray, "n 40 40"], UInt8[np.ndarray, " n"]]:
    """The first so many images of a batch, or of a folder's batches in the order of their numbers.

    Raises:
        DataError: no batch, or one that `read_affnist` refuses.

    Source: Tieleman 2013, affNIST's training batches.
    """
    files = sorted(path.glob("*.mat"), key=lambda file: (len(file.stem), file.stem)) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: expected affNIST's batches, 1.mat and so on, got a folder without any")
    images, labels, had = [], [], 0
    for file in files:
        if had < count:
            more, of = read_affnist(file)
            images.append(more[: count - had])
            labels.append(of[: count - had])
            had += len(images[-1])
    return np.concatenate(images), np.concatenate(labels)


def affnist_like(digits: ForegroundBank, seed: int) -> UInt8[Tensor, "n 40 40"]:
    """Each digit once, under a random affine pose that keeps all its ink inside a 40x40 canvas.

    Rotation U(-20, 20) degrees, shear U(-0.2, 0.2), horizontal and vertical expansion U(0.8, 1.2) each,
    translation uniform over the shifts that keep all ink inside.

    Source: Tieleman 2013. Results on it are labelled "affNIST-like (regenerated)".
    """
    generator = torch.Generator().manual_seed(seed)
    poses = AFFNIST_RANGES.random(len(digits), generator)
    parts = []
    for start in range(0, len(digits), _DRAWN_TOGETHER):
        rows = np.arange(start, min(start + _DRAWN_TOGETHER, len(digits)))
        cut = digits.fetch(rows)
        posed = AFFNIST_RANGES.apply(cut, poses[rows], (_CANVAS, _CANVAS))
        black = torch.zeros(len(rows), 1, _CANVAS, _CANVAS)
        parts.append(compose(black, cut.images, cut.alpha, posed.where).images[:, 0].mul(255).round().byte())
    return torch.cat(parts)


def _pad(images: Tensor) -> Tensor:
    """Centre on the 40x40 canvas."""
    missing = _CANVAS - images.shape[-1]
    return functional.pad(images, (missing // 2,) * 4) if missing > 0 else images


def read_idx(path: Path) -> UInt8[np.ndarray, "..."]:
    """The array of one idx file of unsigned bytes.

    Raises:
        DataError: missing, not idx, another type than unsigned byte, or shorter or longer than its header says.

    Source: LeCun, Cortes, Burges, the MNIST file format.
    """
    try:
        raw = path.read_bytes()
        data = _unzipped(path, raw) if path.suffix == ".gz" else raw
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


def _unzipped(path: Path, raw: bytes) -> bytes:
    """A gzip file's content, within what such a file may unpack to."""
    limit = inflated_limit(len(raw))
    with gzip.open(io.BytesIO(raw)) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise DataError(f"{path}: expected at most {limit >> 20} MB when unpacked, got more from {len(raw):,} bytes")
    return data


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
