"""Columns of a large index: text and masks in Arrow's memory, which become Python objects when one is asked for.

A million masks as objects take 2 GB, as a column 100 MB, which may be a file mapped into memory.
"""

from __future__ import annotations

import json
import struct
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, overload

import numpy as np
from jaxtyping import Bool, Float32, Int64

from terse.sources.masks import FileMask, Mask, Polygons, Rle

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Column", "FieldsColumn", "MaskColumn", "TextColumn", "is_distinct", "taken"]

_Item = TypeVar("_Item")
_Made = TypeVar("_Made", bound="Column[Any]")  # not Self: see poses/maps.py
_TOGETHER = 1 << 16  # items that are made Python objects at once
_POLYGONS, _RLE, _FILE = b"P", b"R", b"F"
_LENGTH = struct.Struct("<I")


class Column(Sequence[_Item], Generic[_Item]):
    """A read-only sequence in Arrow's memory.

    Attributes:
        array: what it is made of.
    """

    def __init__(self, array: pa.Array) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, index: int) -> _Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[_Item]: ...
    def __getitem__(self, index: int | slice) -> _Item | Sequence[_Item]:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        return self._item(self.array[int(index)].as_py())

    def __iter__(self) -> Iterator[_Item]:
        for first in range(0, len(self), _TOGETHER):
            yield from map(self._item, self.array.slice(first, _TOGETHER).to_pylist())

    def take(self, rows: Int64[np.ndarray, " n"]) -> Column[_Item]:
        """The items of these numbers, in this order."""
        return type(self)(self.array.take(rows))

    @classmethod
    def of(cls: type[_Made], items: Iterable[Any]) -> _Made:  # noqa: PYI019
        """These items as a column; a column of this kind as it is."""
        return items if isinstance(items, cls) else cls(cls._array(items))

    @classmethod
    def joined(cls: type[_Made], parts: Iterable[Iterable[Any]]) -> _Made:  # noqa: PYI019
        """The items of all parts, one part after another."""
        import pyarrow as pa

        return cls(pa.concat_arrays([cls.of(part).array for part in parts]))

    @classmethod
    @abstractmethod
    def _array(cls, items: Iterable[_Item]) -> pa.Array:
        """What a column of these items is made of."""

    @abstractmethod
    def _item(self, value: Any) -> _Item:
        """The object that a value of the array stands for."""


class TextColumn(Column[str]):
    """Texts."""

    @classmethod
    def _array(cls, items: Iterable[str]) -> pa.Array:
        import pyarrow as pa

        return pa.array(items, pa.large_string())

    def _item(self, value: Any) -> str:
        return cast("str", value)

    @classmethod
    def row_by_row(cls, *parts: str | Column[str]) -> TextColumn:
        """The parts one after another, row by row; a text alone stands in each row."""
        import pyarrow as pa
        from pyarrow import compute

        columns = [pa.scalar(part, pa.large_string()) if isinstance(part, str) else part.array for part in parts]
        return cls(compute.binary_join_element_wise(*columns, pa.scalar("", pa.large_string())))


class FieldsColumn(Column["Mapping[str, str | float]"]):
    """What a source says of each image beside the usual, as JSON."""

    @classmethod
    def _array(cls, items: Iterable[Mapping[str, str | float]]) -> pa.Array:
        import pyarrow as pa

        return pa.array([json.dumps(dict(item)) for item in items], pa.large_string())

    def _item(self, value: Any) -> Mapping[str, str | float]:
        return cast("Mapping[str, str | float]", json.loads(value))


class MaskColumn(Column["Mask | None"]):
    """Masks, None where an object has none."""

    @classmethod
    def _array(cls, items: Iterable[Mask | None]) -> pa.Array:
        import pyarrow as pa

        return pa.array([None if mask is None else _packed(mask) for mask in items], pa.large_binary())

    @classmethod
    def of_outlines(
        cls,
        points: Float32[np.ndarray, "points 2"],
        lengths: Int64[np.ndarray, " outlines"],
        counts: Int64[np.ndarray, " masks"],
    ) -> MaskColumn:
        """Masks of outlines without a Python object for each.

        Args:
            points: of all outlines, one outline after another.
            lengths: points of each outline.
            counts: outlines of each mask; of 0, there is no mask.
        """
        import pyarrow as pa

        there = counts > 0
        counts = counts[there]
        of_mask = np.repeat(np.arange(len(counts)), counts)
        sizes = 1 + counts + np.bincount(of_mask, weights=2 * lengths, minlength=len(counts)).astype(np.int64)
        starts = np.cumsum(sizes) - sizes
        numbers = np.arange(len(lengths)) - np.repeat(np.cumsum(counts) - counts, counts)  # of each in its mask
        words, is_point = np.empty(int(sizes.sum()), dtype="<u4"), np.ones(int(sizes.sum()), dtype=np.bool_)
        for at, values in ((starts, counts), (starts[of_mask] + 1 + numbers, lengths)):
            words[at], is_point[at] = values, False
        words[is_point] = points.astype("<f4").reshape(-1).view("<u4")
        packed = np.full(4 * len(words) + len(counts), _POLYGONS[0], dtype=np.uint8)
        packed[np.arange(4 * len(words)) + np.repeat(np.arange(len(counts)) + 1, 4 * sizes)] = words.view(np.uint8)
        ends = np.zeros(len(there) + 1, dtype=np.int64)
        ends[1:][there] = 4 * sizes + 1
        valid = pa.array(there).buffers()[1]
        buffers = [valid, pa.py_buffer(np.cumsum(ends)), pa.py_buffer(packed)]
        return cls(pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(there), buffers))

    @property
    def present(self) -> Bool[np.ndarray, " n"]:
        """Where there is a mask."""
        there: Bool[np.ndarray, " n"] = self.array.is_valid().to_numpy(zero_copy_only=False)
        return there

    def _item(self, value: Any) -> Mask | None:
        return None if value is None else _unpacked(value)


def taken(items: Sequence[_Item], rows: Int64[np.ndarray, " n"]) -> Sequence[_Item]:
    """The items of these numbers, in this order: of a column a column, of anything else a tuple."""
    return items.take(rows) if isinstance(items, Column) else tuple(items[i] for i in rows.tolist())


def is_distinct(texts: Sequence[str]) -> bool:
    """Whether no two texts are alike."""
    hashes = np.sort(np.fromiter(map(hash, texts), dtype=np.int64, count=len(texts)))  # a set of a million takes 100 MB
    return bool((np.diff(hashes) != 0).all()) or len(set(texts)) == len(texts)


def _packed(mask: Mask) -> bytes:
    if isinstance(mask, Rle):
        return _RLE + mask.counts
    if isinstance(mask, FileMask):
        return _FILE + f"{mask.rule}\0{mask.value}\0{mask.path}".encode()
    lengths = b"".join(_LENGTH.pack(len(part)) for part in mask.parts)
    points = b"".join(np.ascontiguousarray(part, dtype="<f4").tobytes() for part in mask.parts)
    return _POLYGONS + _LENGTH.pack(len(mask.parts)) + lengths + points


def _unpacked(packed: bytes) -> Mask:
    kind, content = packed[:1], packed[1:]
    if kind == _RLE:
        return Rle(content)
    if kind == _FILE:
        rule, value, path = content.decode().split("\0", 2)
        return FileMask(path, cast("Literal['value', 'dark', 'light', 'alpha']", rule), int(value))
    count = _LENGTH.unpack_from(content)[0]
    lengths = np.frombuffer(content, "<u4", count, _LENGTH.size)
    points = np.frombuffer(content, "<f4", offset=_LENGTH.size * (1 + count)).reshape(-1, 2)
    return Polygons(tuple(np.split(points, np.cumsum(lengths)[:-1])))
