"""Charts that several pages show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from terse.report import figures
from terse.report.parts import Chart
from terse.report.words import in_text, words
from terse.results import HardnessCounts

__all__ = ["class_charts", "curve_chart", "hardness_charts", "size_charts"]

_MOST_CLASSES = 20


def class_charts(amounts: Mapping[str, Mapping[str, float]], caption: str) -> list[Chart]:
    """Objects of each class, by part of the data; the largest classes where there are many."""
    if not amounts:
        return []
    largest = dict(sorted(amounts.items(), key=lambda item: -sum(item[1].values()))[:_MOST_CLASSES])
    which = "each class" if len(largest) == len(amounts) else f"the {len(largest)} largest classes"
    return [Chart("classes", f"Objects of {which}", caption, figures.bars(largest, "Objects"))]


def size_charts(sizes: Mapping[str, Sequence[float]], more: str = "") -> list[Chart]:
    """Objects' sides over their image's, by part of the data; `more` is added to the caption."""
    if not any(len(sides) for sides in sizes.values()):
        return []
    figure = figures.histogram(sizes, "Side of the object over the image's", (0.0, 1.0))
    caption = f"The square root of the box's area over the image's.{more}"
    return [Chart("sizes", "How large the objects are", caption, figure)]


def curve_chart(curves: Sequence[figures.Curve], primary: str, against: str, caption: str) -> Chart:
    """The primary metric against what it cost (paper, Fig. 7)."""
    heading = f"{words(primary)} against {in_text(against)}"
    figure = figures.metric_curves(curves, primary, against)
    return Chart(f"curve-{against.replace('_', '-')}", heading, caption, figure)


def hardness_charts(counts: Mapping[str, HardnessCounts], heading: str, caption: str) -> list[Chart]:
    """Hardness by arm or cycle, of those that have any (paper, Fig. 8)."""
    known = {name: one.counts for name, one in counts.items() if any(one.counts)}
    return [Chart("hardness", heading, caption, figures.hardness_histogram(known))] if known else []
