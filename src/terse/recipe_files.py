"""Where recipes are: the built-in ones, files, and the bases that both start from."""

from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from terse import registry
from terse.errors import RecipeError
from terse.validation import inherited, join
from terse.yaml_text import read_yaml, read_yaml_file

__all__ = ["builtin_recipes", "read_settings"]

_OWN = ("name", "description", "paper")
"""Keys that a recipe does not take over from its base."""


def builtin_recipes() -> dict[str, str]:
    """The text of each built-in recipe by name."""
    folder = resources.files("terse") / "recipes"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)
    return {file.name.removesuffix(".yaml"): file.read_text("utf-8") for file in files}


def read_settings(model: type[BaseModel], name: str, seen: tuple[str, ...] = ()) -> tuple[dict[str, Any], Path | None]:
    """The settings of a recipe joined with its bases, and the folder its relative paths start at.

    Raises:
        RecipeError: no such recipe, not YAML, or bases in a circle.
    """
    builtin = builtin_recipes()
    path = Path(name)
    if name in builtin:
        settings, folder = read_yaml(builtin[name], name), None
    elif path.is_file():
        settings, folder = read_yaml_file(path, name), path.resolve().parent
    else:
        near = registry.nearest(name, builtin)
        raise RecipeError(
            f"{name}: expected a recipe file or one of {', '.join(builtin)}, got neither{near or '; see `terse recipes`'}"
        )
    if name in seen:
        raise RecipeError(f"{name}: expected a base that ends, got the circle {' > '.join((*seen, name))}")
    base: Any = settings.pop("base", None)
    if base is None:
        return settings, folder
    beside = str(folder / str(base)) if folder and (folder / str(base)).is_file() else str(base)
    below, start = read_settings(model, beside, (*seen, name))
    below = {key: value for key, value in below.items() if key not in _OWN}
    below = below if start is None else inherited(below, start)
    return join(model, below, settings), folder
