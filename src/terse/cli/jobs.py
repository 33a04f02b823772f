"""What several commands have in common: options, the recipe or data that they are given, the folder of a job."""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter

from terse.trust import trusted, trusting

if TYPE_CHECKING:
    from terse.recipe import Recipe

__all__ = ["folder_of", "next_cycle", "recipe_or_data", "trust_given", "with_device", "with_trust"]

_Command = TypeVar("_Command", bound=Callable[..., Any])
_RETRAINED = {"onnx": "NEW.onnx", "user": "factory=MODULE:NAME"}  # what `--target` takes, by the target's kind
_Trust = Annotated[
    bool,
    Parameter(
        help="Import the code that the recipe names (target: {kind: user}), which can do whatever you can, and ask for the "
        "URLs that it names, with your credentials.",
    ),
]


def with_trust(command: _Command) -> _Command:
    """Give a command the flag `--trust`, and run it with what the flag allows."""

    @functools.wraps(command)
    def run(*arguments: Any, trust: bool = False, **options: Any) -> Any:
        with trusting(trust):
            return command(*arguments, **options)

    own = inspect.signature(command, eval_str=True)
    flag = inspect.Parameter("trust", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_Trust)
    signature = own.replace(parameters=[*own.parameters.values(), flag])
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()}
    run.__annotations__["return"] = own.return_annotation
    return run  # type: ignore[return-value]


def trust_given() -> list[str]:
    """The flag again, for the line that goes on with a job."""
    return ["--trust"] if trusted() else []


def next_cycle(run: Path | str, cycle: int, recipe: Recipe) -> str:
    """The line that goes on with a run whose target only judges, once it is retrained."""
    from terse.pictures.again import trust_flag

    new = _RETRAINED.get(recipe.target.kind, "NEW")
    flags = trust_flag(recipe.model_dump(mode="json"))
    return shlex.join(["terse", "generate", str(run), "--target", new, "--cycle", str(cycle), *flags, "--out", "SET"])


def with_device(overrides: tuple[str, ...], device: str | None) -> list[str]:
    """The overrides of the recipe, that of `--device` last."""
    return [*overrides, *([f"runtime.device={device}"] if device else [])]


def folder_of(out: Path | None, name: str, kind: str, *, found_by: str | None) -> Path:
    """The folder of a job: `--out`, else `runs/NAME` or the first of `runs/NAME-2`, `-3`, ... that is free.

    Raises:
        RunError: an option that wants a folder with a job (`found_by`: `--resume`, `--restart`) without `--out`, `kind` says
            what the folder would hold; or a URL.
    """
    from terse.errors import RunError
    from terse.folders import require_local

    if out is not None:
        require_local(out)
        return out
    if found_by is not None:
        raise RunError(f"{found_by}: expected --out with the {kind}'s folder, got none")
    folder, number = Path("runs") / name, 2
    while folder.exists() and any(folder.iterdir()):
        folder, number = Path("runs") / f"{name}-{number}", number + 1
    return folder


def recipe_or_data(source: str, images: Path | None, beside_recipe: Sequence[str]) -> dict[str, Any] | None:
    """The settings of the data at a path; None where the source is a recipe.

    Args:
        source: as the user typed it.
        images: the photographs of a file of annotations.
        beside_recipe: settings and options that only a recipe can have.

    Raises:
        TerseError: images beside a recipe, settings beside data, or nothing that is known.
    """
    from terse.errors import RecipeError
    from terse.sources.guess import is_recipe, source_settings

    if is_recipe(source):
        if images is not None:
            raise RecipeError("--images: expected it beside a COCO file, got it beside a recipe; write it there")
        return None
    if beside_recipe:
        raise RecipeError(f"{beside_recipe[0]}: expected it beside a recipe, got data")
    return source_settings(Path(source), images)
