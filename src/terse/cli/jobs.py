"""Options that commands which build a recipe's model have in common."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter

from terse.trust import trusted, trusting

__all__ = ["folder_of", "trust_given", "with_device", "with_trust"]

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Trust = Annotated[
    bool,
    Parameter(
        negative=(), help="Import the code that the recipe names (target: {kind: user}). It can do whatever you can."
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


def with_device(overrides: tuple[str, ...], device: str | None) -> list[str]:
    """The overrides of the recipe, that of `--device` last."""
    return [*overrides, *([f"runtime.device={device}"] if device else [])]


def folder_of(out: Path | None, name: str, kind: str, *, resume: bool) -> Path:
    """The folder of a job: `--out`, else `runs/NAME` or the first of `runs/NAME-2`, `-3`, ... that is free.

    Raises:
        RunError: `--resume` without `--out`; `kind` says what the folder would hold.
    """
    from terse.errors import RunError

    if out is not None:
        return out
    if resume:
        raise RunError(f"--resume: expected --out with the {kind}'s folder, got none")
    folder, number = Path("runs") / name, 2
    while folder.exists() and any(folder.iterdir()):
        folder, number = Path("runs") / f"{name}-{number}", number + 1
    return folder
