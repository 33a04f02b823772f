"""From what a user wrote to a validated model: overrides, bases and settings joined; `refusals.py` tells what is refused."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from terse import registry
from terse.config import Inherited, Typed, family_of, named_kind
from terse.errors import RecipeError
from terse.refusals import inner_model, sentences
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
            inner = inner_model(field.annotation) if field else None
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
        raise RecipeError("\n".join(sentences(model, data, error))) from None


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
