"""What a job reports while it runs, and how it is asked to stop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from terse.errors import RecipeError

__all__ = ["Interrupted", "Observer", "heard_by"]


class Interrupted(Exception):
    """The user asked to stop; the state is on disk where the job has a folder."""


class Observer:
    """Watches a job: a progress bar, a log, a test. Every method does nothing until a subclass says what.

    Methods are called in the process and thread that began the job, wherever the work is done, and between steps: a
    slow one slows the job.
    """

    def phase(self, cycle: int, phase: str, steps: int, done: int) -> None:
        """A phase of a run begins, so many of its steps done already."""

    def step(self, **numbers: float) -> None:
        """A step of the phase ended with these figures."""

    def cycle(self, row: Mapping[str, Any]) -> None:
        """A cycle ended with these figures; cycle 0 is the start."""

    def advance(self, what: str, done: int, total: int) -> None:
        """Of a job without cycles, such as the images of a set, so many of so many are done."""

    def say(self, message: str) -> None:
        """Something a user should know."""

    def done(self) -> None:
        """The job ended."""

    def stop(self) -> bool:
        """Whether the user wants the job to stop after this step."""
        return False

    def of(self, job: str) -> Observer:
        """The observer of one of several jobs, known to the user by this name."""
        return self


def heard_by(observer: Observer | None) -> Observer:
    """The observer that a caller gave; without one, one that does nothing.

    Raises:
        RecipeError: it is a class, or no observer.
    """
    if observer is None:
        return Observer()
    if isinstance(observer, type):
        raise RecipeError(
            f"observer: expected an object, got the class {observer.__name__}; for example {observer.__name__}()"
        )
    if not isinstance(observer, Observer):
        raise RecipeError(f"observer: expected a terse.progress.Observer, got {type(observer).__name__}; subclass it")
    return observer
