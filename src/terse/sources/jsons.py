"""JSON that other people's tools write."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from terse.errors import DataError

__all__ = ["load_json"]


def load_json(file: Path, kind: str = "COCO") -> Mapping[str, Any]:
    """A file's mapping; a byte order mark before it is passed over.

    Args:
        file: the file.
        kind: the format expected, for the errors.

    Raises:
        DataError: it ends early, is no JSON, or is no mapping.
    """
    try:
        data = json.loads(file.read_bytes())
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file.name}, line {error.lineno} column {error.colno}: expected whole JSON, got: {error.msg}; "
            "the file may end early: copy it again"
        ) from None
    except (UnicodeDecodeError, RecursionError):
        raise DataError(f"{file.name}: expected {kind} JSON in UTF-8, got something else; copy it again") from None
    if not isinstance(data, dict):
        use = "use COCO's instances format" if kind == "COCO" else f"give the file that {kind} wrote"
        raise DataError(
            f"{file.name}: expected a mapping with images and annotations, got {type(data).__name__}; {use}"
            if kind == "COCO"
            else f"{file.name}: expected a mapping, got {type(data).__name__}; {use}"
        )
    return data
