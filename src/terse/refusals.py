"""A sentence for each setting that a model refused, in a recipe's words: the setting as it is typed, the rule, the value."""

import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any

from pydantic import BaseModel, ValidationError

from terse import registry
from terse.config import Paper, family_of, named_kind

__all__ = ["inner_model", "sentences"]

_RULES = {
    "greater_than_equal": "{type} >= {ge}",
    "greater_than": "{type} > {gt}",
    "less_than_equal": "{type} <= {le}",
    "less_than": "{type} < {lt}",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "int_parsing_size": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a word",
    "path_type": "a path",
    "missing": "a value",
    "literal_error": "one of {expected}",
    "finite_number": "a finite number",
    "too_short": "{min_length} or more entries",
    "too_long": "{max_length} entries",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "settings by name",
    "model_type": "settings by name",
}
_WORDS = {None: "null", True: "true", False: "false"}


@dataclass(frozen=True, slots=True)
class _Refusal:
    """One of pydantic's, where the user typed it."""

    path: tuple[str, ...]
    alternative: int | None  # how much of the path leads to a field that takes one of several types
    rule: str  # empty: `text` says all
    text: str
    given: Any
    missing: bool = False


def sentences(model: type[BaseModel], data: Mapping[str, Any], error: ValidationError) -> Iterator[str]:
    """One for each refused setting, in the form of `errors.py`.

    A setting that takes one of several types is refused by each of them: it is one sentence with all that would do, or
    with what is wrong inside of the one that was meant.
    """
    found = _short_lists(_refusals(model, data, error))
    elsewhere = {one.path[1:] for one in found if _was_typed(data, one.path)}
    found = [
        one for one in found if _was_typed(data, one.path) or one.path[1:] not in elsewhere
    ]  # taken over from there
    told: set[tuple[str, ...]] = set()
    for one in found:
        if one.alternative is None:
            yield _sentence(model, data, one, one.rule)
            continue
        owner = one.path[: one.alternative]
        beside = [other for other in found if other.alternative is not None and other.path[: one.alternative] == owner]
        inside = [other for other in beside if len(other.path) > one.alternative]
        if inside:
            if one in inside:
                yield _sentence(model, data, one, one.rule)
        elif owner not in told:
            told.add(owner)
            rules = dict.fromkeys(other.rule.removeprefix("one of ") for other in beside if other.rule)
            yield _sentence(model, data, one, " or ".join(rules))


def _was_typed(data: Any, path: Sequence[str]) -> bool:
    """Whether the settings hold this one."""
    if not path or not isinstance(data, Mapping):
        return True
    return path[0] in data and _was_typed(data[path[0]], path[1:])


def inner_model(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, perhaps beside other types."""
    candidates = typing.get_args(annotation) or (annotation,)
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)


def _sentence(model: type[BaseModel], data: Mapping[str, Any], one: _Refusal, rule: str) -> str:
    where = ".".join(one.path) or "recipe"
    if not rule:
        return f"{where}: {one.text}"
    got = "nothing" if one.missing else _told(one.given)
    return f"{where}: expected {rule}, got {got}{_hint(_field(model, data, one.path)[1])}"


def _refusals(model: type[BaseModel], data: Mapping[str, Any], error: ValidationError) -> Iterator[_Refusal]:
    found = error.errors(include_url=False)
    for item in found:
        if item["type"] == "too_short" and any(item["loc"] == one["loc"][:-1] for one in found):
            continue  # entries were given, and each is refused by itself
        kind, loc = item["type"], [str(part) for part in item["loc"]]
        typed = loc[-1:] if kind == "extra_forbidden" else []  # by the user, whatever it looks like
        path, alternative = _typed(model, data, loc[: len(loc) - len(typed)])
        path = (*path, *typed)
        owner, field = _field(model, data, path)
        text, rule = item["msg"].removeprefix("Value error, "), ""
        if kind == "extra_forbidden":
            known = owner.model_fields if owner else {}
            name, colon, value = path[-1].partition(":")
            near = registry.nearest(path[-1], known)
            if colon and name in known:  # YAML takes it for one name
                near = f"; write '{name}: {value}', with a space"
            text = f"expected a known setting, got {path[-1]!r}{near or '; known are ' + ', '.join(known)}"
        elif kind in _RULES:
            context = {key: _plain(value) for key, value in (item.get("ctx") or {}).items()}
            integer = isinstance(item["input"], int) and field is not None and "int" in str(field.annotation)
            context["type"] = "an integer" if integer else "a number"
            rule = _RULES[kind].format(**context)
        yield _Refusal(path, alternative, rule, text, item["input"], missing=kind == "missing")


def _short_lists(found: Iterator[_Refusal]) -> list[_Refusal]:
    """A list that lacks entries is refused once, not for each that it lacks."""
    kept: dict[tuple[Any, ...], _Refusal] = {}
    for number, one in enumerate(found):
        if one.missing and isinstance(one.given, list | tuple) and one.path[-1].isdigit():
            rule = f"{int(one.path[-1]) + 1} entries"  # the last one missing tells how many
            kept[one.path[:-1]] = _Refusal(one.path[:-1], one.alternative, rule, "", list(one.given))
        else:
            kept[(number,)] = one
    return list(kept.values())


def _typed(model: type[BaseModel], data: Any, loc: Sequence[str]) -> tuple[tuple[str, ...], int | None]:
    """A location without pydantic's own names of types, and how much of it leads to the innermost of their fields."""
    path: list[str] = []
    alternative = None
    for part in loc:
        field = _field(model, data, path)[1] if path else None
        if field is not None and part in _names_of_types(field.annotation):
            alternative = len(path)
        elif "[" not in part:
            path.append(part)
    return tuple(path), alternative


def _names_of_types(annotation: Any) -> set[str]:
    """What pydantic calls the types of a field that takes one of several; their constraints are among the names."""
    members = [one for one in typing.get_args(annotation) if one is not type(None)]
    if typing.get_origin(annotation) not in (typing.Union, UnionType) or len(members) < 2:
        return set()
    names = {"Component"}
    for member in members:
        inner = typing.get_args(member)[0] if hasattr(member, "__metadata__") else member
        if typing.get_origin(inner) is typing.Literal:
            names.add(f"literal[{','.join(map(repr, typing.get_args(inner)))}]")
        elif typing.get_origin(inner) is tuple:
            names.add("tuple[Component, ...]")
        else:
            names |= {inner.__name__, f"constrained-{inner.__name__}"}
    return names


def _field(model: type[BaseModel], data: Any, path: Sequence[str]) -> tuple[type[BaseModel] | None, Any]:
    """The model that owns the last part of the path, and its field there, through components and unions."""
    owner: type[BaseModel] | None = model
    field: Any = None
    for depth, part in enumerate(path):
        field = owner.model_fields.get(part) if owner else None
        if depth == len(path) - 1:
            break
        data = data.get(part) if isinstance(data, Mapping) else None
        family = family_of(field)
        if family and isinstance(data, list) and path[depth + 1].isdigit():
            item = data[int(path[depth + 1])]
            named = named_kind(family, item if isinstance(item, Mapping) else {"kind": item})
            inner = registry.kinds(family).get(named or "")
            return _field(inner, item, path[depth + 2 :]) if inner else (None, None)
        if family and isinstance(data, Mapping):
            owner = registry.kinds(family).get(named_kind(family, data) or "")
        else:
            owner = inner_model(field.annotation) if field else None
    return owner, field


def _hint(field: Any) -> str:
    """The paper's value of a field, else its default, where that is a value and no settings."""
    if field is None:
        return ""
    paper = next((mark.value for mark in field.metadata if isinstance(mark, Paper)), None)
    if paper is not None:
        return f"; {paper} is the paper's"
    default = None if field.is_required() else field.default
    return (
        "" if default in (None, "", ()) or isinstance(default, BaseModel) else f"; {_default(default)} is the default"
    )


def _default(value: Any) -> str:
    if isinstance(value, tuple):
        return str(list(value))
    return _WORDS[value] if isinstance(value, bool) else str(value)


def _told(value: Any) -> str:
    return _WORDS[value] if value is None or isinstance(value, bool) else repr(value)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
