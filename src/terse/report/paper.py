"""What a recipe says of its comparison: the paper's tables and figures that it names, and the images that judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from terse.paper_numbers import PaperNumbers, PaperRow, paper_numbers
from terse.pictures.judging import Judging, judging_images
from terse.proof.results import HardShares
from terse.registry import kinds
from terse.report.figures import Curve
from terse.report.parts import Table, words

__all__ = ["choice_of", "note_of", "paper_curves", "paper_tables"]

Ours = Mapping[str, Mapping[str, float | None]]
"""By arm: metrics, and the primary metric of classes, by their names in our results."""


def paper_tables(
    settings: Mapping[str, Any], ours: Ours, shares: Mapping[str, HardShares] | None = None
) -> list[Table]:
    """The tables that a recipe names, a row of ours below each method that has an arm here.

    Args:
        settings: of the recipe.
        ours: figures of each arm.
        shares: of the arms' composites that are hard for the frozen start, for Fig. 8.
    """
    named = [paper_numbers(name) for name in settings.get("paper") or ()]
    images = judging_images(settings)
    tables = [_table(printed, ours, images) for printed in named if printed.rows]
    return [*tables, *(_ratios(printed, shares) for printed in named if printed.ratio and shares)]


def paper_curves(settings: Mapping[str, Any], primary: str) -> list[Curve]:
    """The curves of accuracy against samples that a recipe names."""
    if primary != "accuracy":
        return []
    named = [paper_numbers(name) for name in settings.get("paper") or ()]
    return [
        Curve(curve.name, curve.samples, [value / 100 for value in curve.values])
        for printed in named
        for curve in printed.curves
    ]


def note_of(settings: Mapping[str, Any]) -> list[str]:
    """What the recipe's data say of their test images."""
    kind = (settings.get("data") or {}).get("kind")
    note = getattr(kinds("data").get(kind), "note", None) if kind else None
    return [note] if note else []


def choice_of(settings: Mapping[str, Any], cycles: int) -> list[str]:
    """What a reader must know of figures after so many cycles whose images chose the kept one; nothing of others."""
    if judging_images(settings) == "test" or not cycles or settings.get("keep", "best") != "best":
        return []
    return [
        "The validation images also chose the kept cycle, so the figure flatters a little: the recipe names no test images."
    ]


def _table(printed: PaperNumbers, ours: Ours, images: Judging) -> Table:
    decimals = max(len(str(value).partition(".")[2]) for row in printed.rows for value in row.values.values())
    caption = (
        f"{printed.about} What the paper prints, and below it what came out here, on the {images} images of this recipe: "
        "the two compare only where these are the paper's."
    )
    if any(name.startswith("voc07") for name in printed.columns.values()):
        caption += " Where AP by VOC's 11 points was not measured, COCO's stands."
    rows = [line for row in printed.rows for line in _lines(row, printed.columns, ours, decimals)]
    return Table(f"The paper's {printed.title} and ours", ("Method", "", *printed.columns), rows, caption)


def _lines(row: PaperRow, columns: Mapping[str, str], ours: Ours, decimals: int) -> Iterator[tuple[str, ...]]:
    if row.values:
        yield row.method, "paper", *(f"{value:.{decimals}f}" for value in row.values.values())
    found = ours.get(row.arm_name or "")
    if found is not None:
        cells = (_in_per_cent(_ours(found, name), is_error=column == "error") for column, name in columns.items())
        yield "" if row.values else row.method, "here", *("" if v is None else f"{v:.{decimals}f}" for v in cells)


def _ours(found: Mapping[str, float | None], name: str) -> float | None:
    """Our figure of a column: of the metric, or of the one class whose name begins so.

    COCO's AP stands where VOC's at this IoU was not measured.
    """
    for known in (name, name.removeprefix("voc07_")):
        if known in found:
            return found[known]
    classes = [value for key, value in found.items() if key.startswith(f"{name}_")]
    return classes[0] if len(classes) == 1 else None


def _in_per_cent(value: float | None, *, is_error: bool) -> float | None:
    return None if value is None else 100 * (1 - value if is_error else value)


def _ratios(printed: PaperNumbers, shares: Mapping[str, HardShares]) -> Table:
    """How much of what each arm proposes, and keeps, is hard, over the rivals' shares: means over the sets."""
    parts = {
        part: {arm: of for arm, one in shares.items() if (of := getattr(one, part))} for part in ("proposes", "keeps")
    }
    parts = {part: of for part, of in parts.items() if of}
    columns, rows = ["Arm"], {arm: [words(arm)] for arm in shares}
    last = ["Ours, in the paper"]
    for part, sets in parts.items():
        means = {arm: sum(of) / len(of) for arm, of in sets.items()}
        rivals = [arm for arm in printed.rivals if means.get(arm)]
        columns += [f"{part.capitalize()}, p below 0.5", *(f"over {words(rival)}'s" for rival in rivals)]
        last += ["", *(f"above {printed.ratio:g}" for _ in rivals)]
        for arm, cells in rows.items():
            mean = means.get(arm)
            over = ["" if mean is None or arm == rival else f"{mean / means[rival]:.2f}" for rival in rivals]
            cells += ["" if mean is None else f"{mean:.1%} ({min(sets[arm]):.1%} to {max(sets[arm]):.1%})", *over]
    caption = (
        f"{printed.about} Means over the sets, lowest and highest in brackets: three a seed, of 128 composites that the arm "
        "proposes at its end and of a third of up to 256 that it kept over all cycles."
    )
    return Table(f"The paper's {printed.title} and ours", columns, [*rows.values(), last], caption)
