"""The spread of the poses as charts and a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from terse.report import figures
from terse.report.parts import Chart, Table, number, words
from terse.results import Coverage

__all__ = ["coverage_beside", "coverage_charts", "coverage_table"]

_LINES = 8  # of one chart that can be told apart


def coverage_charts(seen: Coverage, name: str = "learned") -> list[Chart]:
    """Spread of each pose component, and where objects stand, of one set."""
    free = {key: part for key, part in seen.poses.items() if part.high > part.low}
    least = sorted(free, key=lambda key: free[key].entropy)[:_LINES]
    poses = {key: part.counts for key, part in free.items() if key in least}
    charts = []
    if poses:
        caption = (
            "Each line is one number of the pose over its own range; dotted is an even spread. A single tall peak "
            "means that the poses have collapsed."
        )
        if len(free) > _LINES:
            caption += f" Of {len(free)} numbers the {_LINES} least covered are shown; the table has all."
        charts.append(Chart("poses", "How the poses are spread", caption, figures.pose_lines(poses)))
    if seen.position:
        caption = "Stronger colour means more objects. The map spans the places that keep enough of an object inside the image."
        charts.append(Chart("positions", "Where objects are put", caption, figures.position_map(seen.position, name)))
    return charts


def coverage_beside(seen: Mapping[str, Coverage], treatment: str) -> list[Chart]:
    """Of a proof's arms: the treatment's poses, sizes of all arms, positions of the treatment and of random."""
    charts = []
    if treatment in seen:
        poses = [chart for chart in coverage_charts(seen[treatment]) if chart.name == "poses"]
        charts += [replace(chart, heading=f"How {words(treatment)}'s poses are spread") for chart in poses]
    sizes = {arm: one.size.counts for arm, one in seen.items() if one.size}
    if sizes:
        figure = figures.pose_lines(sizes)
        for trace, arm in zip(figure.data, sizes, strict=True):
            trace.meta = {"tone": arm}
        caption = (
            "The geometric mean of an object's scales, over its range. Random's is no even spread where there are two "
            "scales: compare with its line, not with the dotted one."
        )
        charts.append(Chart("sizes", "How sizes are spread", caption, figure))
    for arm in dict.fromkeys(name for name in ("random", treatment) if name in seen):
        for chart in coverage_charts(seen[arm], arm):
            if chart.name == "positions":
                charts.append(replace(chart, name=f"positions-{arm}", heading=f"Where {words(arm)} puts objects"))
    return charts


def coverage_table(seen: Mapping[str, Coverage]) -> Table:
    """Coverage of several sets, by name."""
    columns: tuple[str, ...] = (
        "", "Images", "Objects", "Cut-outs", "Backgrounds", "Least covered number", "Its entropy over random's",
        "Equal", "Nearly equal",
    )  # fmt: skip
    apart = {name: one.diversity.distance for name, one in seen.items() if one.diversity}
    unit, of = (apart["random"], " over random's") if apart.get("random") else (1.0, "")
    columns = (*columns, *([f"Feature distance{of}"] if apart else []))
    rows = []
    for name, one in seen.items():
        ranged = {key: part.entropy for key, part in one.poses.items() if part.high > part.low}
        least = min(ranged, key=lambda key: ranged[key]) if ranged else ""
        rows.append(
            (
                words(name),
                *map(number, (one.images, one.objects, one.foregrounds, one.backgrounds)),
                words(least),
                f"{one.entropy:.2f}",
                f"{one.duplicates:.1%}",
                f"{one.near_duplicates:.1%}",
                *([f"{apart[name] / unit:.3g}" if name in apart else ""] if apart else []),
            )
        )
    return Table(
        "Coverage",
        columns,
        rows,
        "Entropy 1 covers the range as random poses do, 0 is a single pose. Equal composites repeat an earlier one; "
        "nearly equal pastes use the same cut-out at almost the same pose."
        + (" Feature distance is the mean between two composites in the frozen start's features." if apart else ""),
    )
