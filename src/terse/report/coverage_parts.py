"""The spread of the poses as charts and a table, from what `evaluation.coverage` measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from terse.report import figures
from terse.report.parts import Chart, Table
from terse.report.words import number, words

__all__ = ["coverage_charts", "coverage_table"]


def coverage_charts(seen: Mapping[str, Any], name: str = "learned") -> list[Chart]:
    """Spread of each pose component, and where objects stand, from one `Coverage.to_json()`."""
    poses = {key: part["counts"] for key, part in seen["poses"].items() if part["high"] > part["low"]}
    charts = []
    if poses:
        caption = (
            "Each line is one number of the pose over its own range; dotted is an even spread. A single tall peak "
            "means that the poses have collapsed."
        )
        charts.append(Chart("poses", "How the poses are spread", caption, figures.pose_lines(poses)))
    if seen.get("position"):
        caption = "Stronger colour means more objects. The play is what keeps enough of an object inside the image."
        charts.append(
            Chart("positions", "Where objects are put", caption, figures.position_map(seen["position"], name))
        )
    return charts


def coverage_table(seen: Mapping[str, Mapping[str, Any]]) -> Table:
    """Coverage of several sets, by name."""
    columns = (
        "", "Images", "Objects", "Cut-outs", "Backgrounds", "Least covered number", "Its entropy over random's",
        "Equal", "Nearly equal",
    )  # fmt: skip
    rows = []
    for name, one in seen.items():
        ranged = {key: part["entropy"] for key, part in one["poses"].items() if part["high"] > part["low"]}
        least = min(ranged, key=lambda key: ranged[key]) if ranged else ""
        rows.append(
            (
                words(name),
                *(number(one[key]) for key in ("images", "objects", "foregrounds", "backgrounds")),
                words(least),
                f"{one['entropy']:.2f}",
                f"{one['duplicates']:.1%}",
                f"{one['near_duplicates']:.1%}",
            )
        )
    return Table(
        "Coverage",
        columns,
        rows,
        "Entropy 1 covers the range as random poses do, 0 is a single pose. Equal composites repeat an earlier one; "
        "nearly equal pastes use the same cut-out at almost the same pose.",
    )
