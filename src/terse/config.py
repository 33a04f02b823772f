"""What settings are made of: frozen models, components picked by kind, paths, ranges, and the paper's values.

No torch here, and none in the components' config classes: a mistyped recipe answers at once. What a user wrote becomes such a
model in `validation.py`; the recipe's fields are in `recipe.py`.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import os
import textwrap
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Self, TypeVar

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

__all__ = [
    "Component",
    "Config",
    "Count",
    "Counts",
    "CountsOrNone",
    "Family",
    "Fraction",
    "Inherited",
    "InputPath",
    "Names",
    "NonNegative",
    "Paper",
    "Positive",
    "PositiveSpan",
    "SourcePath",
    "Span",
    "Typed",
    "ascending",
    "each_once",
    "extras_of",
    "family_of",
    "help_of",
    "kind_of",
    "known_kind",
    "named_kind",
]

Built_co = TypeVar("Built_co", covariant=True)


class Config(BaseModel):
    """A frozen model that refuses unknown keys; the string below a field is its help text."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


def help_of(model: type[BaseModel]) -> dict[str, str]:
    """The string below each field of a config or record, where there is one.

    Read from the source when somebody asks for help: reading it with every config is a seventh of what a command needs
    to start.
    """
    found: dict[str, str] = {}
    for owner in reversed([one for one in model.__mro__ if issubclass(one, BaseModel) and one is not BaseModel]):
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


class Typed(str):
    """A string typed on the command line: a path in it starts at the working directory, not at the recipe."""

    __slots__ = ()


class Inherited(str):
    """A string of a recipe's base: a path in it starts at the base's folder, not at the recipe."""

    __slots__ = ("folder",)
    folder: Path

    @classmethod
    def of(cls, text: str, folder: Path) -> Self:
        """The text as it stands in a file of this folder."""
        inherited = cls(text)
        inherited.folder = folder
        return inherited


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
    folder = None if isinstance(value, Typed) else (info.context or {}).get("folder")
    folder = value.folder if isinstance(value, Inherited) else folder
    return path if path.is_absolute() else Path(folder or Path.cwd()) / path


def _resolve_source(value: Any, info: ValidationInfo) -> Any:
    """A path, or a URL as it stands: what a stranger's recipe asks for must not hold the environment's secrets."""
    url = url_of(value) if isinstance(value, str | Path) else None
    if url is None:
        return _resolve(value, info)
    if isinstance(value, Typed):
        type_urls([url])
    return Path(url)


InputPath = Annotated[Path, BeforeValidator(_resolve), AfterValidator(lambda path: path.resolve())]
"""A path of the user's: relative ones start at the file that names them, a recipe or its base, on the command line at the working directory."""
SourcePath = Annotated[
    Path,
    BeforeValidator(_resolve_source),
    AfterValidator(lambda path: path.resolve() if url_of(path) is None else path),
    PlainSerializer(as_typed, return_type=str, when_used="json"),
]
"""A file or folder of a source's: an `InputPath`, or a URL, of which the source reads a copy on this machine."""


def _at_most(most: int) -> AfterValidator:
    """How far computers count; no rule of the setting's own, so the reference of settings does not name it."""

    def check(number: int) -> int:
        if number > most:
            raise ValueError(f"expected an integer <= {most}, got {number}")
        return number

    return AfterValidator(check)


Count = Annotated[int, Field(ge=1), _at_most(2**31 - 1)]  # sums and products of two fit 64 bits
NonNegative = Annotated[int, Field(ge=0), _at_most(2**63 - 1)]
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


def each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of which there is at least one, and none twice.

    Raises:
        ValueError: it is otherwise; pydantic names the setting.
    """
    if not names:
        raise ValueError("expected at least one name, got none; null takes all")
    twice = next((name for k, name in enumerate(names) if name in names[:k]), None)
    if twice is not None:
        raise ValueError(f"expected each name once, got {twice!r} twice; take one away")
    return names


def known_kind(family: str) -> AfterValidator:
    """The rule of a setting that names a kind of this family without settings of its own."""

    def check(kind: str) -> str:
        try:
            registry.lookup(family, kind)
        except RecipeError as error:
            raise ValueError(str(error)) from None
        return kind

    return AfterValidator(check)


Names = Annotated[tuple[str, ...], AfterValidator(each_once)]
"""Names, each once."""

Span = Annotated[tuple[float, float], AfterValidator(ascending)]
"""A range, its smaller number first."""
PositiveSpan = Annotated[tuple[Positive, Positive], AfterValidator(ascending)]
"""A range above 0, its smaller number first."""
Counts = Annotated[tuple[Count, Count], AfterValidator(ascending)]
"""The fewest and the most of something, at least one."""
CountsOrNone = Annotated[tuple[NonNegative, NonNegative], AfterValidator(ascending)]
"""The fewest and the most of something, perhaps none."""


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
        family = family_of(model.model_fields.get(key))
        for item in value if isinstance(value, list) else [value]:
            kind = item if isinstance(item, str) else None
            if family and isinstance(item, Mapping):
                kind = named_kind(family, item)
            if family and kind in registry.kinds(family):
                found.add(registry.lookup(family, kind).extra)
    return tuple(sorted(found - {""}))


def family_of(field: Any) -> str | None:
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
    kind = named_kind(family, value)
    if kind is None:
        keys = ", ".join(map(str, value)) or "no keys"
        raise RecipeError(f"expected kind: one of {', '.join(registry.kinds(family))}, got {keys}")
    return kind


def named_kind(family: str, value: Mapping[str, Any]) -> str | None:
    """As `kind_of`; None where a mapping names none, and unchecked where its `kind` is unknown."""
    kinds = registry.kinds(family)
    named = [key for key in value if key in kinds]
    knowing = (key for key in named if set(value) <= {"kind", *kinds[key].model_fields})
    kind = value.get("kind") or next(knowing, named[0] if named else None)
    return None if kind is None else str(kind)
