"""A long list of a JSON file, read item by item: a million annotations as Python objects would take 1.5 GB."""

from __future__ import annotations

import codecs
import gc
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from terse.errors import DataError
from terse.sources.documents import has_surrogates, load_json, speakable

__all__ = ["ListOfFile", "load_json_with", "without_collector"]

_LARGE = 8 << 20  # bytes; smaller files are read whole
_CHUNK = 1 << 20
_ESCAPE = 3  # characters at the end of a part in which the four of an escaped surrogate may begin
_CUT = 2  # characters of a number cut in two that may stand behind what is a number too: 1e+
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_BETWEEN: Final = re.compile(r"[ \t\n\r]*([,\]])[ \t\n\r]*")
_PARSE: Final[Callable[[str, int], tuple[Any, int]]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def load_json_with(file: Path, name: str, before: Collection[str]) -> Mapping[str, Any]:
    """A file's mapping as `load_json` reads it, but for one list, which is left in a large file.

    What stands behind that list joins the mapping once the list has been gone through, if all of `before` stand in front of
    it; else the list is passed over at once.

    Args:
        file: the file.
        name: of the list, which becomes a `ListOfFile`; in a small file it is a list.
        before: what is needed before the list is gone through.

    Raises:
        DataError: as `load_json`; it may come as late as from the list.
    """
    if file.stat().st_size < _LARGE:
        return load_json(file)
    try:
        with _Text(file) as text:
            text.expect("{")
            data: dict[str, Any] = {}
            apart = ListOfFile(file, name, data)
            apart.is_whole = _read_members(text, data, apart, before)
    except (ValueError, RecursionError):
        return load_json(file)  # says what is wrong and where
    return data


@contextmanager
def without_collector() -> Iterator[None]:
    """Without the search for cycles of objects, which JSON has none of; among many values it takes half the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class ListOfFile:
    """A list in a large JSON file. Each iteration parses the items anew; what follows it joins the file's mapping.

    Raises:
        DataError: while it is gone through, as `load_json`.
    """

    def __init__(self, file: Path, name: str, data: dict[str, Any]) -> None:
        self.name = name
        self.start = 0
        self._file, self._data, self._was = file, data, _stamp(file)
        self.is_whole = False  # what follows the list has joined the mapping

    def __bool__(self) -> bool:
        return next(iter(self), self) is not self

    def __iter__(self) -> Iterator[Any]:
        for part in self.parts():
            yield from part

    def parts(self) -> Iterator[list[Any]]:
        """All items, some thousands at a time."""
        changed = DataError(f"{self._file.name}: it changed while it was read; start again")
        if _stamp(self._file) != self._was:
            raise changed
        try:
            with _Text(self._file, self.start) as text:
                yield from text.items()
                if not self.is_whole:
                    self._follow(text)
        except (ValueError, RecursionError):
            if _stamp(self._file) == self._was:
                load_json(self._file)  # says what is wrong and where
            raise changed from None

    def _follow(self, text: _Text) -> None:
        found: dict[str, Any] = {}
        _read_members(text, found, self, (), first=False)
        if twice := sorted(found.keys() & self._data.keys()):
            raise DataError(f"{self._file.name}: {twice[0]}: expected it once, got it twice; keep one")
        self._data.update(found)
        self.is_whole = True


def _stamp(file: Path) -> tuple[int, ...]:
    """What is another where a file was replaced or written again; empty where it is gone."""
    try:
        about = file.stat()
    except FileNotFoundError:
        return ()
    return about.st_ino, about.st_size, about.st_mtime_ns


def _read_members(
    text: _Text, data: dict[str, Any], apart: ListOfFile, before: Collection[str], *, first: bool = True
) -> bool:
    """Read a mapping from behind its brace, or from behind a value, to its end: True; or to the list apart: False.

    Raises:
        ValueError: no JSON.
    """
    while text.next() != "}":
        if not first:
            text.expect(",")
        first = False
        text.next()
        key = text.value()
        text.expect(":")
        if not isinstance(key, str):
            raise ValueError("a name that is no text")  # noqa: TRY004, as all that is no JSON
        text.next()
        if key == apart.name and text.next() == "[":
            text.expect("[")
            apart.start, data[key] = text.place, apart
            if data.keys() >= set(before):
                return False
            for _ in text.items():
                pass
        else:
            data[key] = text.value()
    text.expect("}")
    if text.next():
        raise ValueError("more behind the mapping")
    return True


class _Text:
    """A file's text from some byte on, of which a part is in memory; what it raises is `ValueError`."""

    def __init__(self, file: Path, start: int = 0) -> None:
        self._stream = file.open("rb")
        self._stream.seek(start)
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
        self._start = start  # of what is in memory, in the file
        self._text, self._at = "", 0
        self._ended = self._surrogates = False
        if not start and self._stream.peek(3)[:3] == codecs.BOM_UTF8:
            self._start = self._stream.seek(3)

    def __enter__(self) -> _Text:  # noqa: PYI034
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()

    @property
    def place(self) -> int:
        """Where the next character stands in the file, in bytes."""
        return self._start + len(self._text[: self._at].encode("utf-8", "surrogatepass"))

    def next(self) -> str:
        """The next character that is no space, which is not passed over; empty at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def expect(self, character: str) -> None:
        """Pass over a character, and the spaces before it."""
        if self.next() != character:
            raise ValueError(f"expected {character}")
        self._at += 1

    def value(self) -> Any:
        """The value that begins here."""
        while True:
            try:
                value, end = _PARSE(self._text, self._at)
            except (StopIteration, json.JSONDecodeError):
                if not self._more():
                    raise ValueError("no value") from None
                continue
            if end + _CUT < len(self._text) or not self._more():  # a number may go on in the next part
                self._at = end
                return speakable(value) if self._surrogates else value

    def items(self) -> Iterator[list[Any]]:
        """The items of a list from behind its bracket to behind its end, some thousands at a time."""
        if self.next() == "]":
            self.expect("]")
            return
        ended = False
        while not ended:
            found, ended = self._items_in_memory()
            if found:
                yield found
            if not ended and not self._more():
                raise ValueError("neither an item nor the end of the list")

    def _items_in_memory(self) -> tuple[list[Any], bool]:
        """The items that are in memory as a whole, and whether the list ends with them."""
        found: list[Any] = []
        text, at, last = self._text, self._at, ","
        try:
            while last == ",":
                value, end = _PARSE(text, at)
                between = _BETWEEN.match(text, end)
                if between is None or (between.end() == len(text) and not self._ended):
                    break
                found.append(value)
                last, at = between[1], between.end()
        except (StopIteration, json.JSONDecodeError):
            pass  # it goes on in what is not in memory
        self._at = at
        return (speakable(found) if self._surrogates else found), last == "]"

    def _more(self) -> bool:
        """Take more of the file into memory, as much again as is in use there; False at its end."""
        if self._ended:
            return False
        left = self._text[self._at :]
        self._start = self.place
        content = self._stream.read(max(_CHUNK, len(left)))
        self._ended = not content
        self._text, self._at = left + self._decoder.decode(content, final=self._ended), 0
        self._surrogates = self._surrogates or has_surrogates(self._text[max(0, len(left) - _ESCAPE) :])
        return True
