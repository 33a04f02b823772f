"""JSON and XML that other people's tools write."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import (
    Element,
    ParseError,  # only the error's name; defusedxml does the reading
)

from terse.errors import DataError

__all__ = ["has_surrogates", "head_of", "lines_of", "load_json", "load_xml", "some_names", "speakable"]

_CHUNK = 1 << 20
_ENOUGH = 64
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def load_json(file: Path, kind: str = "COCO") -> Mapping[str, Any]:
    """A file's mapping; a byte order mark before it is passed over.

    Args:
        file: the file.
        kind: the format expected, for the errors.

    Raises:
        DataError: it may not be read, ends early, is no JSON, or is no mapping.
    """
    try:
        content = file.read_bytes()
        text = content.decode(json.detect_encoding(content), "surrogatepass")  # as `json.loads` does
        data = json.loads(text)
        if has_surrogates(text):
            data = speakable(data)
    except PermissionError as error:
        raise DataError(
            f"{file.name}: expected {kind} JSON, got: {error.strerror}; have it read, or leave it out"
        ) from None
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file.name}, line {error.lineno} column {error.colno}: expected whole JSON, got: {error.msg}; "
            "the file may end early: copy it again"
        ) from None
    except (ValueError, RecursionError):  # not UTF-8, a number of thousands of digits, or lists in lists in lists
        raise DataError(f"{file.name}: expected {kind} JSON in UTF-8, got something else; copy it again") from None
    if isinstance(data, dict):
        return data
    got = type(data).__name__
    if kind == "COCO":
        raise DataError(
            f"{file.name}: expected a mapping with images and annotations, got {got}; use COCO's instances format"
        )
    raise DataError(f"{file.name}: expected a mapping, got {got}; give the file that {kind} wrote")


def has_surrogates(text: str) -> bool:
    """Whether a JSON text may hold surrogates, escaped or as they stand."""
    return _ESCAPED_SURROGATE.search(text) is not None or (not text.isascii() and _SURROGATE.search(text) is not None)


def speakable(value: Any) -> Any:
    """With U+FFFD instead of lone surrogates, which no page, table or terminal can hold."""
    if isinstance(value, dict):
        return {speakable(key): speakable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [speakable(item) for item in value]
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(value, str) else value


def head_of(file: Path, size_bytes: int) -> bytes:
    """A file's first bytes; none of one that may not be read, of which its reader says so."""
    try:
        with file.open("rb") as stream:
            return stream.read(size_bytes)
    except PermissionError:
        return b""


def lines_of(file: Path) -> list[str]:
    """The lines of a text file; a byte order mark before them is passed over.

    Raises:
        DataError: it may not be read, or is not UTF-8.
    """
    try:
        return file.read_text("utf-8-sig").splitlines()
    except PermissionError as error:
        raise DataError(f"{file}: expected a text file, got: {error.strerror}; have it read, or leave it out") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}: expected text in UTF-8, got another encoding (byte {error.start}); save it so"
        ) from None


def load_xml(file: Path, name: str) -> Element:
    """A file's outermost element.

    Raises:
        DataError: it may not be read, is not whole, or defines entities.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import parse

    try:
        top: Element | None = parse(file).getroot()
    except PermissionError as error:
        raise DataError(f"{name}: expected whole XML, got: {error.strerror}") from None
    except DefusedXmlException:
        raise DataError(f"{name}: expected plain XML, got entity definitions, which can be an attack") from None
    except (ParseError, ValueError, LookupError, RecursionError) as error:  # LookupError: an encoding nobody knows
        raise DataError(f"{name}: expected whole XML, got an error at {error}") from None
    if top is None:
        raise DataError(f"{name}: expected whole XML, got none")
    return top


def some_names(file: Path, key: str) -> list[str]:
    """The first values of a key in a JSON file, found without reading the whole of it."""
    pattern = re.compile(rb'"%s"\s*:\s*("(?:[^"\\]|\\.)*")' % key.encode())
    names: list[str] = []
    with file.open("rb") as stream:
        kept = b""
        while len(names) < _ENOUGH and (chunk := stream.read(_CHUNK)):
            text = kept + chunk
            last = 0
            for found in pattern.finditer(text):
                last = found.end()
                try:
                    names.append(json.loads(found[1]))
                except ValueError:
                    continue
            kept = text[max(last, len(text) - 4096) :]
    return names[:_ENOUGH]
