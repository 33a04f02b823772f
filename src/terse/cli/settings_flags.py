"""Flags from the fields of a settings class: the field's type, default and help are the flag's."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from cyclopts import Parameter
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from terse.config import help_of
from terse.errors import TerseError
from terse.generate.settings import Flag

__all__ = ["named_by_flags", "settings_given", "with_settings"]

_Command = TypeVar("_Command", bound=Callable[..., Any])
_PLAIN = (str, int, float, bool)


def with_settings(model: type[BaseModel], only: Sequence[str] | None = None) -> Callable[[_Command], _Command]:
    """Give a command a flag for each field; the command takes them as `**flags`.

    Args:
        model: its fields become flags.
        only: these fields alone, and none of them with a default.
    """

    def decorate(command: _Command) -> _Command:
        own, texts = inspect.signature(command, eval_str=True), help_of(model)
        flags = [
            _parameter(name, field, texts.get(name, ""), bare=only is not None)
            for name, field in model.model_fields.items()
            if _flag(name, field) and (only is None or name in only)
        ]
        kept = [one for one in own.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        signature = own.replace(parameters=[*kept, *flags])
        command.__signature__ = signature  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()}
        command.__annotations__["return"] = own.return_annotation
        return command

    return decorate


def settings_given(model: type[BaseModel], flags: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the flags that were given, by field."""
    return {name: value for name, value in flags.items() if name in model.model_fields and value is not None}


@contextmanager
def named_by_flags(model: type[BaseModel]) -> Iterator[None]:
    """Messages about a field name its flag: `side_px: expected ...` becomes `--side: expected ...`.

    So do fields that a message names in backticks.
    """
    fields = {name: _flag(name, field) for name, field in model.model_fields.items()}
    names = "|".join(map(re.escape, fields))
    known = re.compile(rf"^(?:{names})(?=[.:])|`(?:{names})`", flags=re.MULTILINE)

    def flag_of(found: re.Match[str]) -> str:
        name = found[0].strip("`")
        return f"--{fields[name] or name}"

    try:
        yield
    except TerseError as error:
        error.args = (known.sub(flag_of, str(error).removeprefix("recipe: ")),)
        raise


def _flag(name: str, field: FieldInfo) -> str:
    """The flag of a field without its dashes; empty where it has none."""
    named = next((one.name for one in field.metadata if isinstance(one, Flag)), None)
    return name.replace("_", "-") if named is None else named


def _parameter(name: str, field: FieldInfo, text: str, *, bare: bool) -> inspect.Parameter:
    kind, default = _typed(field.annotation), field.default
    if bare or field.is_required() or (default is not None and not isinstance(default, _PLAIN)):
        default = None
    no = () if field.default is False else "no-"
    annotation: Any = Annotated[kind | None, Parameter(name=f"--{_flag(name, field)}", help=text, negative_bool=no)]
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, annotation=annotation, default=default)


def _typed(annotation: Any) -> Any:
    """What the command line reads for a field: plain types as they are, lists for many, text for the rest."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _typed(inner[0])
    if origin in (typing.Union, types.UnionType):
        return _typed(next(one for one in inner if one is not type(None)))
    if origin is Literal or annotation in (*_PLAIN, Path):
        return annotation
    if origin is dict or (origin is tuple and inner[-1] is Ellipsis):
        return list[str]
    return str
