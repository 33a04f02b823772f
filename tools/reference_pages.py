"""Write the parts of the documentation that the code knows best: recipe settings, commands, the paper's numbers.

`docs/conf.py` replaces each marker by its part, `<!-- recipe settings -->` for example, when the site is built.
"""

import inspect
import io
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from rich.console import Console

from terse import registry
from terse.cli import main as command_line
from terse.config import Component, Config, Family, Paper, help_of
from terse.errors import install_line
from terse.paper_numbers import PaperName, PaperNumbers, paper_numbers
from terse.recipe import Recipe
from terse.recipe_files import builtin_recipes
from terse.yaml_text import read_yaml

HELP_COLUMNS = 84  # what the site's column holds
RECIPE_FAMILIES = ("task", "target", "synthesis", "pose", "hardness", "data", "source")
"""The families whose kinds a recipe names, in the order in which the page lists them."""
ORDERS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
PLAIN = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path"}
PYTHON = {"None": "null", "True": "true", "False": "false"}
DOCS = Path(__file__).parents[1] / "docs"


def recipe_settings() -> str:
    """Every key of a recipe, then every kind of each family with its settings."""
    parts = ["## The recipe", table(Recipe, "")]
    for name, model in inner_models(Recipe, ""):
        parts += [f"### `{name}`", first_paragraph(model), table(model, f"{name}.")]
    for family in RECIPE_FAMILIES:
        members = registry.kinds(family)
        shared = shared_keys(list(members.values()))
        parts.append(f"## Kinds of `{family}`")
        if shared:
            parts += ["All of them take", table(next(iter(members.values())), "", only=shared)]
        for kind, model in members.items():
            parts += [f"### `{family}` `{kind}`", first_paragraph(model)]
            if getattr(model, "extra", ""):
                parts.append(f"Needs `{install_line(model.extra)}`.")
            if issubclass(model, BaseModel):
                parts.append(table(model, "", without=shared))
                for name, inner in inner_models(model, ""):
                    parts += [f"#### `{kind}`: `{name}`", table(inner, f"{name}.")]
    return "\n\n".join(part for part in parts if part)


def recipe_files() -> str:
    """The built-in recipes with their descriptions and their text."""
    parts = []
    for name, text in builtin_recipes().items():
        description = " ".join(str(read_yaml(text, name).get("description", "")).split())
        parts += [f"## `{name}`", description, f"```yaml\n{text.rstrip()}\n```"]
    return "\n\n".join(parts)


def commands() -> str:
    """The `--help` of every command."""
    parts = []
    for name in command_line._COMMANDS:
        application: Any = command_line.app(name)
        shown = io.StringIO()
        application.help_print([name], console=Console(file=shown, width=HELP_COLUMNS, color_system=None))
        told = re.sub(r" +$", "", shown.getvalue().strip(), flags=re.MULTILINE)
        parts.append(f"## `terse {name}`\n\n```text\n{told}\n```")
    return "\n\n".join(parts)


def paper_tables() -> str:
    """Each table and figure of the paper as printed, with ours beside it where a committed command has measured it."""
    parts = []
    for name in get_args(PaperName):
        numbers = paper_numbers(name)
        parts += [f"## {numbers.title}", numbers.about, *printed(numbers)]
        parts.append(OURS[name]())
    return "\n\n".join(parts)


def shared_keys(models: list[type]) -> set[str]:
    """The settings that all kinds of a family have alike."""
    if len(models) < 2 or not all(issubclass(model, BaseModel) for model in models):
        return set()
    first, *others = (model.model_fields for model in models)
    alike = (name for name, field in first.items() if all(repr(one.get(name)) == repr(field) for one in others))
    return set(alike) - {"kind"}


def table(
    model: type[BaseModel], prefix: str, *, only: Collection[str] | None = None, without: Collection[str] = ()
) -> str:
    """A Markdown table of a model's settings; `kind` is the heading's."""
    told = {name: in_yaml(text) for name, text in help_of(model).items()} if issubclass(model, Config) else {}
    rows = [
        [f"`{prefix}{name}`", type_words(field), default_words(field), paper_words(field), told.get(name, "")]
        for name, field in model.model_fields.items()
        if name not in {"kind", *without} and (only is None or name in only)
    ]
    head = ["key", "type", "default", "paper", "what"]
    return markdown_table(head, [[part.replace("|", "\\|") for part in row] for row in rows]) if rows else ""


def in_yaml(text: str) -> str:
    """A help text with Python's values as a recipe writes them."""
    return re.sub(r"\b(None|True|False)\b", lambda found: f"`{PYTHON[found[0]]}`", text)


def inner_models(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """The groups of settings below a model, by their dotted key."""
    for name, field in model.model_fields.items():
        if family_of(field) is not None:
            continue
        for part in parts_of(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel) and not issubclass(part, Component):
                yield f"{prefix}{name}", part
                yield from inner_models(part, f"{prefix}{name}.")


def parts_of(annotation: Any) -> Iterator[Any]:
    """The members of a union, or the annotation itself."""
    if get_origin(annotation) in {typing.Union, types.UnionType}:
        for part in get_args(annotation):
            yield from parts_of(part)
    else:
        yield annotation


def family_of(field: FieldInfo) -> Family | None:
    """The family whose kinds a setting takes."""
    marks = [
        *field.metadata,
        *(mark for part in parts_of(field.annotation) for mark in getattr(part, "__metadata__", ())),
    ]
    return next((mark for mark in marks if isinstance(mark, Family)), None)


def type_words(field: FieldInfo) -> str:
    """What a setting takes, in words: `number > 0, or null`."""
    family = family_of(field)
    if family is not None:
        words = [f"a kind of `{family.name}`"]
        words += ["a list of them"] * family.or_list + ["a fraction"] * family.or_fraction
    else:
        words = [words_of(part) for part in parts_of(field.annotation) if part is not type(None)]
    bounds = bounds_of(field.metadata)
    return " or ".join(words) + bounds + (", or null" if takes_none(field) else "")


def takes_none(field: FieldInfo) -> bool:
    """Whether null is a value."""
    return type(None) in set(parts_of(field.annotation))


def bounds_of(marks: Iterable[Any]) -> str:
    """The limits of a number: ` >= 0, <= 1`."""
    flat = [one for mark in marks for one in getattr(mark, "metadata", [mark])]
    return ", ".join(
        f" {sign} {getattr(one, name)}" for one in flat for name, sign in ORDERS.items() if hasattr(one, name)
    )


def words_of(annotation: Any) -> str:
    """One annotation in a recipe's words."""
    if annotation in PLAIN:
        return PLAIN[annotation]
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is not None:
        return generic_words(origin, inside)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "settings below"
    return getattr(annotation, "__name__", str(annotation)).lower()


def generic_words(origin: Any, inside: tuple[Any, ...]) -> str:
    """An annotation with parts."""
    if origin is Annotated:
        return words_of(inside[0]) + bounds_of(inside[1:])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inside)
    if origin is tuple:
        return "list of " + words_of(inside[0]) if inside[-1] is Ellipsis else f"[{', '.join(map(words_of, inside))}]"
    if origin in {typing.Union, types.UnionType}:
        return " or ".join(words_of(part) for part in inside)
    return "mapping"


def default_words(field: FieldInfo) -> str:
    """The value that a setting has when nobody names it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True) if field.default is PydanticUndefined else field.default
    if isinstance(value, BaseModel):
        changed = {key: item for key, item in value.model_dump(exclude_defaults=True).items() if key != "kind"}
        return "`" + ", ".join(f"{key}: {item}" for key, item in changed.items()) + "`" if changed else "as below"
    return f"`{yaml_word(value)}`"


def yaml_word(value: Any) -> str:
    """A value as a recipe has it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(yaml_word, value)) + "]"
    return str(value) if value != "" else '""'


def paper_words(field: FieldInfo) -> str:
    """The paper's value, where it names one."""
    return next((f"`{mark.value}`" for mark in field.metadata if isinstance(mark, Paper)), "")


def first_paragraph(model: type) -> str:
    """What a model's docstring begins with."""
    return " ".join((inspect.getdoc(model) or "").split("\n\n")[0].split())


def printed(numbers: PaperNumbers) -> Iterator[str]:
    """A table of the paper, or the points of its curves."""
    if numbers.rows:
        head = ["method", *numbers.columns]
        rows = [[row.method, *(f"{row.values[c]:g}" for c in numbers.columns)] for row in numbers.rows if row.values]
        yield markdown_table(head, rows)
    for curve in numbers.curves:
        points = (f"{value:g} % at {samples:,.0f}" for samples, value in zip(curve.samples, curve.values, strict=True))
        yield f"- {curve.name}: {', '.join(points)}"


def markdown_table(head: list[str], rows: list[list[str]]) -> str:
    """Rows under a head."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def measured_table(page: str, first_cell: str, below: str = "") -> str:
    """The first table of a results page, below this heading, whose head begins with this cell."""
    text = (DOCS / "results" / page).read_text("utf-8")
    text = text[text.index(below) :]
    found = re.search(rf"^\| {re.escape(first_cell)} \|.*(?:\n\|.*)+", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"docs/results/{page}: expected a table whose head begins with {first_cell!r}, got none")
    return found.group()


def not_run(why: str) -> Callable[[], str]:
    """Ours where there is none."""
    return lambda: f"**Ours: not run.** {why}"


def ours_of_figure_7() -> str:
    """The curves of `affnist-efficiency`."""
    return (
        "**Ours** (share of right answers; `random` are affNIST's own random poses, `learned` is the method), from "
        "[digits.md](digits.md): 250 samples a cycle, `mined` and `learned` keep what is hard and learnable, means over seeds.\n\n"
        + measured_table("digits.md", "samples", "## Which hard ones")
        + "\n\n500 samples a cycle, what is hard alone, one seed, before the draws changed; `learned` by the gradient, as in the paper.\n\n"
        + measured_table("digits.md", "samples", "## Earlier: 500 samples")
    )


def ours_of_figure_8() -> str:
    """The hardness of the arms' composites under the start."""
    return (
        "**Ours**: mean hardness under the frozen start, last column, of `coco-person-small` (SSDLite, two cores), from "
        "[photographs.md](photographs.md). The paper counts composites with p below 0.5; `context` was not run.\n\n"
        + measured_table("photographs.md", "arm")
    )


OURS: dict[str, Callable[[], str]] = {
    "table_1": not_run("`terse train affnist-accuracy` is the recipe; it wants affNIST's files and a GPU."),
    "table_2": not_run("`terse prove voc-person --arms table_2` runs its columns; it wants VOC, COCO and a GPU."),
    "table_3": not_run("`terse prove gmu --arms table_3` runs it; GMU Kitchens, all of BigBIRD and the UW scenes were not to be had."),
    "table_4": not_run("`terse prove voc-person --arms table_4` runs it; it wants VOC, COCO and a GPU."),
    "figure_7": ours_of_figure_7,
    "figure_8": ours_of_figure_8,
}  # fmt: skip

PARTS: dict[str, Callable[[], str]] = {
    "recipe settings": recipe_settings,
    "recipe files": recipe_files,
    "commands": commands,
    "paper tables": paper_tables,
}
"""What each marker of a page stands for."""


def filled(text: str) -> str:
    """A page's text with its markers replaced."""
    for name, part in PARTS.items():
        marker = f"<!-- {name} -->"
        if marker in text:
            text = text.replace(marker, part())
    return text
