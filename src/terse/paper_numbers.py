"""What the paper prints, from `paper_numbers.yaml`: tables and figures that a recipe may name in `paper`.

Pages show these beside ours; `terse prove --arms table_4` runs a table's arms.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import Field

from terse.config import Config
from terse.yaml_text import read_yaml

__all__ = ["PaperCurve", "PaperName", "PaperNumbers", "PaperRow", "arms_of", "paper_numbers"]

PaperName = Literal["table_1", "table_2", "table_3", "table_4", "figure_7", "figure_8"]


class PaperRow(Config):
    """One method of a table."""

    method: str
    arm: str | None = None
    """As `terse prove --arms` takes it; None for a rival that is no arm here."""
    values: dict[str, float]

    @property
    def arm_name(self) -> str | None:
        """The arm's name without its settings."""
        return None if self.arm is None else self.arm.partition(":")[0]


class PaperCurve(Config):
    """Points of a curve: accuracy in per cent against samples."""

    name: str
    arm: str
    samples: tuple[float, ...]
    values: tuple[float, ...]


class PaperNumbers(Config):
    """A table or a figure, as printed."""

    title: str
    about: str
    columns: Mapping[str, str] = Field(default_factory=dict)
    """Our metric for each column, or how our class's name begins; `error` is 100 less the accuracy."""
    rows: tuple[PaperRow, ...] = ()
    curves: tuple[PaperCurve, ...] = ()
    ratio: float | None = None
    rivals: tuple[str, ...] = ()


@cache
def _all() -> dict[str, PaperNumbers]:
    text = (resources.files("terse") / "paper_numbers.yaml").read_text("utf-8")
    return {name: PaperNumbers.model_validate(item) for name, item in read_yaml(text, "paper_numbers.yaml").items()}


def paper_numbers(name: PaperName) -> PaperNumbers:
    """A table or figure by its name."""
    return _all()[name]


def arms_of(name: str) -> list[str] | None:
    """The arms of a table in its order, as they are typed; None where it is no table."""
    rows = _all()[name].rows if name in _all() else ()
    return [row.arm for row in rows if row.arm is not None] or None
