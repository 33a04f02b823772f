"""Every error a user can meet: one family, so that one `except TerseError` is enough.

Messages follow one form: `<field as the user typed it>: expected <rule>, got <value>; <next step>`.
"""

from __future__ import annotations

from errno import EACCES, EDQUOT, EIO, ELOOP, EMFILE, ENAMETOOLONG, ENFILE, ENOSPC, ENOTDIR, EPERM, EROFS

__all__ = [
    "DataError",
    "Diverged",
    "MissingExtra",
    "RecipeError",
    "RunError",
    "ShapeError",
    "TerseError",
    "install_line",
    "of_the_machine",
    "reason_of",
]

_NOT_OURS = (EACCES, EDQUOT, EIO, ELOOP, EMFILE, ENAMETOOLONG, ENFILE, ENOSPC, ENOTDIR, EPERM, EROFS)
"""What the disk, its owner or the name of a file stands in the way of."""


class TerseError(Exception):
    """Base of all errors that are the input's fault, not ours. The command line exits with 2."""


class ShapeError(TerseError):
    """Tensors that do not fit each other at a public edge."""


class RecipeError(TerseError):
    """A recipe, or a `key=value` override, that cannot be run."""


class DataError(TerseError):
    """An image, mask, annotation or placement that cannot be used."""


class RunError(TerseError):
    """A run folder that cannot be written, continued or read."""


def install_line(extra: str) -> str:
    """What a user types to have the packages of an extra."""
    return f'pip install "terse-synth[{extra}]"'


class MissingExtra(TerseError):
    """A package of an optional extra is not installed; the message holds the install line."""

    def __init__(self, feature: str, extra: str) -> None:
        self._given = (feature, extra)
        super().__init__(
            f"{feature}: expected the extra {extra!r} to be installed, got no such package; run: {install_line(extra)}"
        )

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str]]:
        """Made again from what it was given: an error of a worker travels to the process that began it."""
        return MissingExtra, self._given


class Diverged(TerseError):
    """A player's loss stopped being a number.

    Attributes:
        player: synthesizer, target or discriminator.
        step: the step of the phase at which it happened.
        checkpoint: the last good checkpoint, or None before the first.
    """

    def __init__(self, player: str, step: int, value: str, checkpoint: str | None) -> None:
        self._given = (player, step, value, checkpoint)
        self.player = player
        self.step = step
        self.checkpoint = checkpoint
        good = f"the last good checkpoint is {checkpoint}" if checkpoint else "no checkpoint was written yet"
        super().__init__(
            f"{player}: expected a finite loss at step {step}, got {value}; "
            f"{good}; lower its learning rate or look at its input with `terse preview`"
        )

    def __reduce__(self) -> tuple[type[Diverged], tuple[str, int, str, str | None]]:
        """As `MissingExtra`'s."""
        return Diverged, self._given


def reason_of(error: Exception) -> str:
    """What another library's error says, in one line; its type where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def of_the_machine(error: Exception) -> str | None:
    """What to say of a full disk, a file that may not be read or too little memory; None of a bug of ours."""
    if isinstance(error, OSError) and error.errno in _NOT_OURS:
        return f"{error.filename or 'a file'}: expected to read or write it, got: {error.strerror}"
    if isinstance(error, MemoryError):
        return f"memory: expected enough, got: {error or 'none left'}; ask for less at once, or use a larger machine"
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported here
        got = str(error).partition(".")[0]
        return f"runtime.device: expected enough memory, got: {got}; smaller batches or a smaller canvas_px need less"
    return None
