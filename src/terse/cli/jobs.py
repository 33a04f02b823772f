"""Options that `train`, `prove` and `evaluate` have in common."""

from __future__ import annotations

from pathlib import Path

__all__ = ["folder_of", "with_device"]


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
