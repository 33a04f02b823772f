"""YAML 1.2 as recipes and data sets hold it: `1e-3` is a number, `no` a word, a repeated key an error."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from terse.errors import RecipeError

__all__ = ["read_yaml", "read_yaml_file", "write_yaml"]

_SHOWN = 200


def read_yaml(text: str, name: str, *, words: bool = False) -> dict[str, Any]:
    """A YAML 1.2 mapping: `1e-3` is a number, `no` a word, a repeated key an error.

    Args:
        text: the YAML.
        name: what errors call it.
        words: read numbers, `true` and `null` as the text that stands there.

    Raises:
        RecipeError: not YAML, or not a mapping; file and line are named.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    reader = YAML(typ="base" if words else "safe", pure=True)
    try:
        data = reader.load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        problem = " ".join(str(error.problem).split())
        raise RecipeError(f"{name}, line {line}: expected YAML with each key once, got: {problem}") from None
    except (YAMLError, ValueError, OverflowError) as error:  # a number or a date that is none
        raise RecipeError(f"{name}: expected YAML, got: {' '.join(str(error).split())[:_SHOWN]}") from None
    except RecursionError:
        raise RecipeError(f"{name}: expected YAML of a few levels, got hundreds, one in the other") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise RecipeError(f"{name}: expected a mapping of settings, got {type(data).__name__}")
    return {str(key): value for key, value in data.items()}


def read_yaml_file(path: Path, name: str = "", *, words: bool = False) -> dict[str, Any]:
    """The mapping of a YAML file, as `read_yaml` has it; errors call it `name`, its path by default.

    Raises:
        RecipeError: it cannot be read, is not UTF-8, or is no YAML mapping.
    """
    name = name or str(path)
    try:
        return read_yaml(path.read_text("utf-8-sig"), name, words=words)
    except UnicodeDecodeError as error:
        raise RecipeError(f"{name}: expected text in UTF-8, got another encoding (byte {error.start})") from None
    except OSError as error:
        raise RecipeError(f"{name}: expected a file that can be read, got: {error.strerror or error}") from None


def write_yaml(data: Mapping[str, Any]) -> str:
    """The YAML text that `read_yaml` reads back to an equal mapping."""
    from ruamel.yaml import YAML

    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = io.StringIO()
    writer.dump(dict(data), stream)
    return stream.getvalue()
