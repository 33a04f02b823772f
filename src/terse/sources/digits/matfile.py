"""A structure of numbers from a MATLAB 5 file: `scipy.io.loadmat` can crash the process on a broken one."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from terse.errors import DataError
from terse.folders import inflated_limit

__all__ = ["read_structure"]

_HEADER, _TAG = 128, 8
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_STRUCTURE, _FIRST_NUMBERS, _LAST_NUMBERS = 2, 6, 15  # classes of arrays: double to uint64


def read_structure(path: Path, name: str) -> dict[str, np.ndarray]:
    """The fields of a scalar structure that are arrays of numbers, in MATLAB's shapes; others are passed over.

    Raises:
        DataError: no MATLAB 5 file of this byte order, broken, too large when unpacked, or without such a structure.

    Source: MathWorks, MAT-File Format, level 5.
    """
    content = path.read_bytes()
    if len(content) < _HEADER or content[124:128] != b"\x00\x01IM":
        raise DataError(f"{path}: expected a MATLAB 5 file, got another")
    room = inflated_limit(len(content))
    try:
        for element in _elements(memoryview(content)[_HEADER:]):
            kind, data = element
            if kind == _COMPRESSED:
                unpacked = _unpacked(data, room)
                room -= len(unpacked)
                kind, data = next(_elements(memoryview(unpacked)))
            if kind == _MATRIX and _name(data) == name:
                return _fields(data)
    except (struct.error, zlib.error, ValueError, StopIteration, LookupError, OverflowError) as error:
        raise DataError(f"{path}: expected a whole MATLAB file, got one that cannot be read ({error})") from None
    raise DataError(f"{path}: expected the structure {name}, got a file without it")


def _unpacked(data: memoryview, room: int) -> bytes:
    """An element's content, cut where the room ends."""
    if room == 0:  # zlib would take it for no limit
        raise ValueError("more than such a file may unpack to")
    return zlib.decompressobj().decompress(data, room)


def _elements(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Type and content of one element after the other; each but a compressed one fills eights of bytes."""
    at = 0
    while at + _TAG <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if kind >> 16:  # a small element: its size and up to four bytes stand in the tag
            kind, size, start, step = kind & 0xFFFF, kind >> 16, at + 4, _TAG
            if size > 4:
                raise ValueError(f"a small element of {size} bytes")
        else:
            start, step = at + _TAG, _TAG + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if start + size > len(data):
            raise ValueError(f"an element of {size} bytes where {len(data) - start} are left")
        yield kind, data[start : start + size]
        at += step


def _name(matrix: memoryview) -> str:
    parts = _elements(matrix)
    _flags, _shape, name = [next(parts)[1] for _ in range(3)]
    return bytes(name).decode("ascii")


def _fields(matrix: memoryview) -> dict[str, np.ndarray]:
    """The arrays of a structure of one element."""
    parts = _elements(matrix)
    flags, shape, _, width, names = [next(parts)[1] for _ in range(5)]
    if flags[0] != _STRUCTURE or any(side != 1 for side in np.frombuffer(shape, "<i4")):
        raise ValueError("a variable that is no single structure")
    (length,) = struct.unpack("<i", width)
    if not 0 < length <= len(names):
        raise ValueError("a structure without fields")
    fields = [bytes(names[k : k + length]).split(b"\0")[0].decode("ascii") for k in range(0, len(names), length)]
    found = {}
    for field, (kind, data) in zip(fields, parts, strict=False):
        array = _numbers(data) if kind == _MATRIX else None
        if array is not None:
            found[field] = array
    return found


def _numbers(matrix: memoryview) -> np.ndarray | None:
    parts = _elements(matrix)
    flags = next(parts)[1]
    if not _FIRST_NUMBERS <= flags[0] <= _LAST_NUMBERS:
        return None
    shape = np.frombuffer(next(parts)[1], "<i4").tolist()
    next(parts)  # the name
    kind, data = next(parts)
    values = np.frombuffer(data, "<" + _NUMBERS[kind])
    return values.reshape(shape, order="F")
