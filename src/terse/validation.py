"""From what a user wrote to a validated model: overrides, bases and settings joined, and a sentence for each one refused."""

import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from terse import registry
from terse.config import Inherited, Paper, Typed, family_of, kind_of, named_kind
from terse.errors import RecipeError
from terse.yaml_text import read_yaml

__all__ = ["inherited", "join", "overlay", "parse_overrides", "validate"]

_Model = TypeVar("_Model", bound=BaseModel)


def parse_overrides(overrides: Sequence[str]) -> list[dict[str, Any]]:
    """`a.b=1 c=x` as nested mappings, one each; values are read as YAML.

    Raises:
        RecipeError: no list of texts, an item without `=`, or with an empty key.
    """
    if isinstance(overrides, str | Mapping) or not all(isinstance(item, str) for item in overrides):
        raise RecipeError(f'overrides: expected a list of texts such as ["seed=1"], got {overrides!r}')
    parsed = []
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals or not all(key.split(".")):
            raise RecipeError(f"{item}: expected key=value, got no value; for example cycles=3 or data.root=mnist")
        value = _value(text, item)
        nested = value
        for part in reversed(key.split(".")):
            nested = {part: nested}
        parsed.append(_with_strings(nested, Typed))
    return parsed


def overlay(model: type[BaseModel], settings: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Settings with `key=value` overrides laid over them, one after another.

    Raises:
        RecipeError: as `parse_overrides`.
    """
    overlaid = dict(settings)
    for above in parse_overrides(overrides):
        overlaid = join(model, overlaid, above)
    return overlaid


def _value(text: str, item: str) -> Any:
    """The value of an override. On the command line nobody writes a comment: ` #` is part of a path."""
    words = text.strip()
    if " #" in words and words[0] not in "\"'[{":
        return words
    return read_yaml(f"value: {words}" if words else "value: ''", item)["value"]


def join(model: type[BaseModel], base: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """A base's settings with those above laid over them, mapping by mapping.

    Where the setting above picks another kind of component, only the base's keys that the new kind knows
    are kept: `synthesis.kind=random` need not unset the learned arm's settings.
    """
    joined = dict(base)
    for key, item in above.items():
        old = joined.get(key)
        field = model.model_fields.get(key)
        family = family_of(field)
        value = {"kind": item} if family and isinstance(item, str) else item
        old = {"kind": old} if family and isinstance(old, str) else old
        if not (isinstance(old, Mapping) and isinstance(value, Mapping)):
            joined[key] = value
        elif family:
            joined[key] = _join_component(family, old, value)
        else:
            inner = _inner_model(field.annotation) if field else None
            joined[key] = join(inner, old, value) if inner else _merge(old, value)
    return joined


def validate(model: type[_Model], data: Mapping[str, Any], folder: Path | None) -> _Model:
    """The model of these settings; relative paths start at the folder.

    Raises:
        RecipeError: every refused setting on a line of its own, in the form of `errors.py`.
    """
    try:
        return model.model_validate(data, context={"folder": folder})
    except ValidationError as error:
        raise RecipeError("\n".join(_messages(model, data, error))) from None


def _join_component(family: str, old: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    kinds = registry.kinds(family)
    named, before = named_kind(family, value), named_kind(family, old)
    # `train.images=D` over `{coco: F, images: E}` sets COCO's images, though `images` is a kind as well.
    own = "kind" not in value and before in kinds and set(value) <= set(kinds[before].model_fields)
    if own or named is None or named == before or named not in kinds:
        return _merge(old, value)
    known = kinds[named].model_fields
    return _merge({key: item for key, item in old.items() if key in known and key != "kind"}, {"kind": named, **value})


def _merge(base: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def inherited(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A base's settings, whose paths start at its folder; those of a base of its own at that one's."""
    marked: dict[str, Any] = _with_strings(
        dict(settings), lambda text: text if isinstance(text, Inherited) else Inherited.of(text, folder)
    )
    return marked


def _with_strings(value: Any, of: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _with_strings(item, of) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_strings(item, of) for item in value]
    return of(value) if isinstance(value, str) else value


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    candidates = typing.get_args(annotation) or (annotation,)
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)


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
    "missing": "a value",
    "literal_error": "one of {expected}",
    "finite_number": "a finite number",
    "too_short": "{min_length} or more entries",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "settings by name",
    "model_type": "settings by name",
}


def _messages(model: type[BaseModel], data: Mapping[str, Any], error: ValidationError) -> Iterator[str]:
    found = error.errors(include_url=False)
    for item in found:
        if item["type"] == "too_short" and any(item["loc"] == one["loc"][:-1] for one in found):
            continue  # entries were given, and each is refused by itself
        kind, loc = item["type"], [str(part) for part in item["loc"]]
        typed = loc[-1:] if kind == "extra_forbidden" else []  # by the user, whatever it looks like
        path = [part for part in loc[: len(loc) - len(typed)] if not _internal(part)] + typed
        owner, field = _field(model, data, path)
        where = ".".join(path) or "recipe"
        if kind == "extra_forbidden":
            known = owner.model_fields if owner else {}
            near = registry.nearest(path[-1], known)
            yield f"{where}: expected a known setting, got {path[-1]!r}{near or '; known are ' + ', '.join(known)}"
            continue
        context = {key: _plain(value) for key, value in (item.get("ctx") or {}).items()}
        integer = isinstance(item["input"], int) and field is not None and "int" in str(field.annotation)
        context["type"] = "an integer" if integer else "a number"
        rule = _RULES[kind].format(**context) if kind in _RULES else ""
        if not rule:
            text = item["msg"].removeprefix("Value error, ")
            yield f"{where}: {text}"
            continue
        paper = next((m.value for m in field.metadata if isinstance(m, Paper)), None) if field else None
        hint = f"; {paper} is the paper's" if paper is not None else ""
        if not hint and field is not None and not field.is_required() and field.default is not None:
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            hint = f"; {default} is the default"
        got = "nothing" if kind == "missing" else repr(item["input"])
        yield f"{where}: expected {rule}, got {got}{hint}"


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _internal(part: str) -> bool:
    """A name of pydantic's own in a location, that the user never typed."""
    return part == "float" or "[" in part or part == "Component"


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
            named = kind_of(family, item if isinstance(item, Mapping) else {"kind": item})
            return _field(registry.kinds(family)[named], item, path[depth + 2 :])
        if family and isinstance(data, Mapping):
            owner = registry.kinds(family).get(kind_of(family, data))
        else:
            owner = _inner_model(field.annotation) if field else None
    return owner, field
