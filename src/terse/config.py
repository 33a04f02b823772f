"""How a recipe is read: YAML 1.2, joined with its base, overridden by `key=value`, checked by frozen models.

No torch here, and none in the components' config classes: a mistyped recipe answers at once. The recipe's
fields are in `recipe.py`.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import os
import textwrap
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import CoreSchema, InitErrorDetails, core_schema

from terse import registry
from terse.errors import RecipeError
from terse.urls import as_typed, local_path, type_urls, url_of
from terse.yaml_text import read_yaml

__all__ = [
    "Component",
    "Config",
    "Count",
    "Family",
    "Fraction",
    "InputPath",
    "NonNegative",
    "Paper",
    "Positive",
    "SourcePath",
    "Span",
    "ascending",
    "extras_of",
    "help_of",
    "join",
    "parse_overrides",
    "validate",
]

_Model = TypeVar("_Model", bound=BaseModel)
Built_co = TypeVar("Built_co", covariant=True)


class Config(BaseModel):
    """A frozen model that refuses unknown keys; the string below a field is its help text."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


def help_of(model: type[BaseModel]) -> dict[str, str]:
    """The string below each field of a config, where there is one.

    Read from the source when somebody asks for help: reading it with every config is a seventh of what a command needs
    to start.
    """
    found: dict[str, str] = {}
    for owner in reversed([one for one in model.__mro__ if issubclass(one, Config) and one is not Config]):
        written = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        assert isinstance(written, ast.ClassDef)
        for field, below in itertools.pairwise(written.body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                text = below.value if isinstance(below, ast.Expr) else None
                found[field.target.id] = " ".join(str(text.value).split()) if isinstance(text, ast.Constant) else ""
    return found


class Component(Config, Generic[Built_co]):
    """A config that builds something, chosen by `kind` from the registry.

    `Component["Target"]` says what `build` returns to a type checker alone: a string, so that nothing of what
    is built, torch included, is imported with the config. `extra` names the extra that `build` needs, if any.
    """

    extra: ClassVar[str] = ""
    kind: str

    if not TYPE_CHECKING:

        def __class_getitem__(cls, built: object) -> type:  # noqa: D105, RUF100
            return cls

    def build(self, *args: Any, **settings: Any) -> Built_co:
        """What the config describes; each family says what it is given.

        Raises:
            TypeError: the class has no `build` of its own.
        """
        raise TypeError(f"{type(self).__name__}: expected a build() of its own, got none")


class Paper:
    """Metadata of a field: the paper's value, named in the message when a value is refused."""

    def __init__(self, value: object) -> None:
        self.value = value


class _Typed(str):
    """A string typed on the command line: a path in it starts at the working directory, not at the recipe."""

    __slots__ = ()


def _resolve(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str | Path) and url_of(value) is not None:
        raise ValueError(f"expected a path on this machine, got {as_typed(value)}; copy it here first")
    if not isinstance(value, str):
        return value
    try:
        path = local_path(os.path.expandvars(value)).expanduser()
    except RuntimeError:
        raise ValueError(f"expected the user whose folder {value} names, got nobody of that name") from None
    if "$" in str(path):
        raise ValueError(f"expected the environment variable in {value} to be set, got none of that name")
    folder = None if isinstance(value, _Typed) else (info.context or {}).get("folder")
    return path if path.is_absolute() else Path(folder or Path.cwd()) / path


def _resolve_source(value: Any, info: ValidationInfo) -> Any:
    """A path, or a URL as it stands: what a stranger's recipe asks for must not hold the environment's secrets."""
    url = url_of(value) if isinstance(value, str | Path) else None
    if url is None:
        return _resolve(value, info)
    if isinstance(value, _Typed):
        type_urls([url])
    return Path(url)


InputPath = Annotated[Path, BeforeValidator(_resolve), AfterValidator(lambda path: path.resolve())]
"""A path of the user's: relative ones start at the recipe's file, on the command line at the working directory."""
SourcePath = Annotated[
    Path,
    BeforeValidator(_resolve_source),
    AfterValidator(lambda path: path.resolve() if url_of(path) is None else path),
    PlainSerializer(as_typed, return_type=str, when_used="json"),
]
"""A file or folder of a source's: an `InputPath`, or a URL, of which the source reads a copy on this machine."""
Count = Annotated[int, Field(ge=1)]
NonNegative = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


def ascending(limits: tuple[float, float]) -> tuple[float, float]:
    """A range whose smaller number comes first.

    Raises:
        ValueError: it does not; pydantic names the setting.
    """
    if limits[0] > limits[1]:
        raise ValueError(f"expected the smaller number first, got {list(limits)}; swap them")
    return limits


Span = Annotated[tuple[float, float], AfterValidator(ascending)]
"""A range, its smaller number first."""


class Family:
    """Metadata of a field that holds a component of a family, picked by `kind` or by the key that names a kind.

    `{coco: F}` is short for `{kind: coco, coco: F}`: where `kind` is missing, the key that names a kind is it. A
    bare word is a kind without settings. With `or_fraction`, a number between 0 and 1 will do too; with `or_list`, a
    list of components.
    """

    def __init__(self, name: str, *, or_fraction: bool = False, or_list: bool = False) -> None:
        self.name = name
        self.or_fraction = or_fraction
        self.or_list = or_list

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The kind's own model reads the settings, and all of its fields are written."""
        return core_schema.with_info_before_validator_function(
            self._pick, handler(source), serialization=core_schema.simple_ser_schema("any")
        )

    def _pick(self, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, Config) or value is None:
            return value
        if self.or_fraction and isinstance(value, int | float):
            if not 0 < value < 1:
                raise ValueError(f"expected a source or a fraction between 0 and 1, got {value}")
            return value
        if self.or_list and isinstance(value, list | tuple):
            return tuple(self._item(number, item, info) for number, item in enumerate(value))
        if isinstance(value, str):
            value = {"kind": value}
        if not isinstance(value, Mapping):
            raise ValueError(f"expected a mapping with a kind, got {value!r}")  # noqa: TRY004 - pydantic's own
        try:
            kind = kind_of(self.name, value)
            model = registry.lookup(self.name, kind)
        except RecipeError as error:
            raise ValueError(str(error)) from None
        return model.model_validate({**value, "kind": kind}, context=info.context)

    def _item(self, number: int, value: Any, info: ValidationInfo) -> Any:
        """One of a list; what is refused is named by its number."""
        try:
            return self._pick(value, info)
        except ValidationError as error:
            details = [
                InitErrorDetails(type=e["type"], loc=(number, *e["loc"]), input=e["input"], ctx=e.get("ctx", {}))
                for e in error.errors(include_url=False)
            ]
            raise ValidationError.from_exception_data(error.title, details) from None
        except ValueError as error:
            raise ValueError(f"{number}: {error}") from None


def extras_of(model: type[BaseModel], settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The extras that the components of these settings need, sorted; nothing is built."""
    found: set[str] = set()
    for key, value in settings.items():
        family = _family_of(model.model_fields.get(key))
        for item in value if isinstance(value, list) else [value]:
            kind = item if isinstance(item, str) else None
            if family and isinstance(item, Mapping):
                kind = _named_kind(family, item)
            if family and kind in registry.kinds(family):
                found.add(registry.lookup(family, kind).extra)
    return tuple(sorted(found - {""}))


def _family_of(field: Any) -> str | None:
    """The family of a component's field, optional ones included, whose mark is inside the union."""
    if field is None:
        return None
    inner = [mark for part in typing.get_args(field.annotation) for mark in getattr(part, "__metadata__", ())]
    return next((mark.name for mark in [*field.metadata, *inner] if isinstance(mark, Family)), None)


def kind_of(family: str, value: Mapping[str, Any]) -> str:
    """The kind a mapping asks for: its `kind`, else the key that names one.

    A setting of one kind may bear another's name: in `{images: D, coco: F}` the kind is the one that knows both.

    Raises:
        RecipeError: neither is there.
    """
    kind = _named_kind(family, value)
    if kind is None:
        keys = ", ".join(map(str, value)) or "no keys"
        raise RecipeError(f"expected kind: one of {', '.join(registry.kinds(family))}, got {keys}")
    return kind


def _named_kind(family: str, value: Mapping[str, Any]) -> str | None:
    kinds = registry.kinds(family)
    named = [key for key in value if key in kinds]
    knowing = (key for key in named if set(value) <= {"kind", *kinds[key].model_fields})
    kind = value.get("kind") or next(knowing, named[0] if named else None)
    return None if kind is None else str(kind)


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """`a.b=1 c=x` as a nested mapping; values are read as YAML.

    Raises:
        RecipeError: an item without `=`, or with an empty key.
    """
    merged: dict[str, Any] = {}
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals or not all(key.split(".")):
            raise RecipeError(f"{item}: expected key=value, got no value; for example cycles=3 or data.root=mnist")
        value = _value(text, item)
        nested = value
        for part in reversed(key.split(".")):
            nested = {part: nested}
        merged = _merge(merged, _typed(nested))
    return merged


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
        family = _family_of(field)
        value = {"kind": item} if family and isinstance(item, str) else item
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
    named, before = _named_kind(family, value), _named_kind(family, old)
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


def _typed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return _Typed(value) if isinstance(value, str) else value


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
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a word",
    "missing": "a value",
    "literal_error": "one of {expected}",
    "finite_number": "a finite number",
}


def _messages(model: type[BaseModel], data: Mapping[str, Any], error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_url=False):
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
            hint = f"; {field.default} is the default"
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
        family = _family_of(field)
        if family and isinstance(data, list) and path[depth + 1].isdigit():
            item = data[int(path[depth + 1])]
            named = kind_of(family, item if isinstance(item, Mapping) else {"kind": item})
            return _field(registry.kinds(family)[named], item, path[depth + 2 :])
        if family and isinstance(data, Mapping):
            owner = registry.kinds(family).get(kind_of(family, data))
        else:
            owner = _inner_model(field.annotation) if field else None
    return owner, field
