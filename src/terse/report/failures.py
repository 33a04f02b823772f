"""Tables of what each cycle's model failed, and of what artefact patches change (paper, Fig. 4, 5 and 11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from terse.page_figures import AfterCycle, Failures, ObjectShapes, Patched
from terse.pictures.judging import Judging
from terse.pictures.page_folder import read_page
from terse.report.parts import Table, number
from terse.results import Cycle

__all__ = ["failure_tables", "patch_tables"]

_SHAPES = ("size", "aspect", "cut")
_PATCH_ROWS = {
    "ap50": "AP at IoU 0.5",
    "ap": "AP, mean of IoU 0.5 to 0.8",
    "false_alarms": "False alarms an image",
    "taken": "Places with a false alarm",
    "discriminator": "Discriminator, mean logit",
}


def failure_tables(failed: Failures | None, cycles: Sequence[Cycle], images: Judging = "test") -> list[Table]:
    """Shapes of what was missed beside what was pasted, and modes of failure; nothing where no cycle was kept."""
    if failed is None:
        return []
    has_shapes = any(one.missed.size is not None for one in failed.after)
    has_modes = any(one.modes for one in failed.after)
    return [
        *([_shapes_table(failed, images)] if has_shapes else []),
        *([_modes_table(failed, cycles)] if has_modes else []),
    ]


def patch_tables(
    patched: Patched | None, beside: Sequence[tuple[str, Path]] = (), images: Judging = "test"
) -> list[Table]:
    """What patches change for the final model, of this run and of others by the names of their settings."""
    known = {name: found for name, folder in beside if (found := read_page(folder).figures.patched) is not None}
    if not known and patched is not None:
        known = {"": patched}
    if not known:
        return []
    rows = [row for name, one in known.items() for row in _patch_rows(name, one)]
    alone = [*known] == [""]
    caption = (
        f"Each {images} image with one foreground-shaped patch of another background, pasted as objects are, beside the same image "
        "without. A false alarm has a score of 0.5 and finds no object; a place is where the patch is put. The players are "
        "invariant to pasting where nothing changes and the AUC is 0.5. AP50's interval (95 %) is by pseudo-values over "
        "blocks of images."
    )
    columns = ("Run", "Measure", "Without patch", "With patch", "Change")
    shown = [row[alone:] for row in (columns, *rows)]
    return [Table("Invariance to pasting", shown[0], shown[1:], caption)]


def _shapes_table(failed: Failures, images: Judging) -> Table:
    rows = [row for one in failed.after for row in _shape_rows(one)]
    caption = (
        f"Of {failed.images:,} {images} images. Size is the median square root of the box's area over the image's side, aspect the "
        "median width over height, cut the share whose box touches the border. The distance from what was missed is the "
        "largest difference of the distribution functions (of shares, for cut): 0 is alike, 1 apart. Two samples of one law "
        "stay below the last column in 95 of 100 cases. Hard composites follow the model's failures where they lie nearer to "
        "what it missed than base composites do."
    )
    columns = (
        "Model", "Objects", "Number", "Size", "Aspect", "Cut", *(f"Distance, {name}" for name in _SHAPES), "By chance",
    )  # fmt: skip
    return Table("Missed, and pasted against it", columns, rows, caption)


def _shape_rows(one: AfterCycle) -> list[tuple[str, ...]]:
    model = f"after cycle {one.cycle}" if one.cycle else "start"
    parts: Mapping[str, ObjectShapes | None] = {
        "missed": one.missed,
        "all real": one.real,
        f"hard in cycle {one.cycle + 1}": one.hard,
        "base composites": one.base,
    }
    rows = []
    for name, shapes in parts.items():
        if shapes is not None:
            numbers = [_two(shapes.size, 3), _two(shapes.aspect), "" if shapes.cut is None else f"{shapes.cut:.0%}"]
            distances = [_two(shapes.distance.get(key)) for key in _SHAPES]
            rows.append((model, name, number(shapes.objects), *numbers, *distances, _two(shapes.by_chance)))
            model = ""
    return rows


def _modes_table(failed: Failures, cycles: Sequence[Cycle]) -> Table:
    rows = []
    for one in failed.after:
        if one.modes is None:
            continue
        rate = cycles[one.cycle].hard_rate if one.cycle < len(cycles) else None
        modes = one.modes
        rows.append(
            (
                str(one.cycle + 1),
                number(modes.composites),
                f"{modes.pair_entropy:.2f}",
                str(modes.pairs),
                _two(modes.clusters, 1),
                f"{1 / rate:.1f}" if rate else "",
            )
        )
    rows.append(("base composites", rows[0][1], "", "", _two(failed.base_clusters, 1), ""))
    caption = (
        "Of each cycle's hard composites, as many of each, asked of the model that they were found with. The entropy is of "
        "the pairs (true class, class that the model says; nothing is one) over the objects it gets wrong: 0 bits is one mode. "
        f"Base composites form {failed.clusters} clusters in the features of the start; the column says how many the hard ones "
        "fill, weighed by their shares. The last column is composites looked at for each hard one."
    )
    columns = (
        "Cycle",
        "Hard composites",
        "Entropy, bits",
        "Pairs",
        f"Clusters of {failed.clusters}",
        "Candidates per hard one",
    )
    return Table("Modes of failure", columns, rows, caption)


def _patch_rows(name: str, one: Patched) -> list[tuple[str, ...]]:
    rows = []
    for key, heading in _PATCH_ROWS.items():
        before, after = one.plain.get(key), one.patched.get(key)
        if before is None or after is None:
            continue
        reach = (
            ""
            if key != "ap50" or one.ap50_change is None
            else f" ({one.ap50_change[0]:+.3f} to {one.ap50_change[1]:+.3f})"
        )
        rows.append((name, heading, f"{before:.3f}", f"{after:.3f}", f"{after - before:+.3f}{reach}"))
        name = ""
    if one.auc is not None:
        rows.append((name, "Discriminator tells them apart, AUC", "", f"{one.auc:.2f}", ""))
    return [(*rows[0][:1], f"{rows[0][1]}, {one.images} images", *rows[0][2:]), *rows[1:]]


def _two(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"
