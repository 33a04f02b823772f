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
from jaxtyping import Bool, Int64

from terse.sources.masks import FileMask, Mask, Polygons, Rle

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Column", "FieldsColumn", "MaskColumn", "TextColumn", "is_distinct", "taken"]

_Item = TypeVar("_Item")
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

    @abstractmethod
    def _item(self, value: Any) -> _Item:
        """The object that a value of the array stands for."""


class TextColumn(Column[str]):
    """Texts."""

    @classmethod
    def of(cls, texts: Iterable[str]) -> TextColumn:
        """These texts as a column."""
        import pyarrow as pa

        return cls(pa.array(texts, pa.large_string()))

    def _item(self, value: Any) -> str:
        return cast("str", value)

    @classmethod
    def joined(cls, *parts: str | Column[str]) -> TextColumn:
        """The parts one after another, row by row; a text alone stands in each row."""
        import pyarrow as pa
        from pyarrow import compute

        columns = [pa.scalar(part, pa.large_string()) if isinstance(part, str) else part.array for part in parts]
        return cls(compute.binary_join_element_wise(*columns, pa.scalar("", pa.large_string())))


class FieldsColumn(Column["Mapping[str, str]"]):
    """What a source says of each image beside the usual, as JSON."""

    @classmethod
    def of(cls, fields: Iterable[Mapping[str, str]]) -> FieldsColumn:
        """These mappings as a column."""
        import pyarrow as pa

        return cls(pa.array([json.dumps(dict(item)) for item in fields], pa.large_string()))

    def _item(self, value: Any) -> Mapping[str, str]:
        return cast("Mapping[str, str]", json.loads(value))


class MaskColumn(Column["Mask | None"]):
    """Masks, None where an object has none."""

    @classmethod
    def of(cls, masks: Iterable[Mask | None]) -> MaskColumn:
        """These masks as a column."""
        import pyarrow as pa

        return cls(pa.array([None if mask is None else _packed(mask) for mask in masks], pa.large_binary()))

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
    if isinstance(texts, TextColumn):
        from pyarrow import compute

        return bool(compute.count_distinct(texts.array).as_py() == len(texts))
    return len(set(texts)) == len(texts)


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
