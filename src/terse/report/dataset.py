"""A generated data set as a page: what is in it, and how to make it again."""

from __future__ import annotations

from collections.abc import Sequence

from terse.report import figures
from terse.report.coverage_parts import coverage_charts, coverage_table
from terse.report.parts import Chart, Command, Fact, Gallery, PageData, Sheet, Table
from terse.report.words import count, duration, number
from terse.results import Coverage, SetResult

__all__ = ["dataset_page"]

_SHOWN = 20


def dataset_page(
    result: SetResult,
    *,
    name: str = "",
    gallery: Gallery | None = None,
    sheets: Sequence[Sheet] = (),
    sizes: Sequence[float] = (),
    visible: Sequence[float] = (),
    coverage: Coverage | None = None,
    recipe_yaml: str = "",
    commands: Sequence[Command] = (),
) -> PageData:
    """The page of `terse generate`.

    Args:
        result: what `terse generate --json` prints.
        name: of the recipe or run.
        gallery: images of the set.
        sheets: for instance a strip for each blend.
        sizes: objects' sides over their image's.
        visible: objects' visible fractions.
        coverage: of the placements.
        recipe_yaml: the resolved settings.
        commands: what makes it again, and what reads it.
    """
    images, objects = result.images, result.objects
    skipped = result.skipped
    return PageData(
        title=f"{count(images, 'image')} with {count(objects, 'object')}",
        kind="generate",
        name=name,
        summary=[f"The set stands in {result.out}. {_time(result)}".rstrip()],
        facts=[
            Fact("Images", number(images)),
            Fact("Objects", number(objects), f"{objects / max(1, images):.2f} an image"),
            Fact("Classes", number(len(result.per_class))),
            *_speed(result),
        ],
        alarms=["Something was left out; a table below says what and why."] if skipped else [],
        charts=[*_charts(result, sizes, visible), *(coverage_charts(coverage) if coverage else [])],
        tables=[
            Table("Classes", ("Class", "Objects"), [(key, number(value)) for key, value in result.per_class.items()]),
            *([coverage_table({"this set": coverage})] if coverage else []),
            *([Table("Left out", ("What",), [(str(one),) for one in skipped], prose=True)] if skipped else []),
        ],
        sheets=sheets,
        gallery=gallery or Gallery(),
        recipe=recipe_yaml,
        commands=commands,
    )


def _time(result: SetResult) -> str:
    """Nothing where the set was whole already, or the page is built long after it."""
    return f"It took {duration(result.seconds)}." if result.seconds else ""


def _speed(result: SetResult) -> list[Fact]:
    speed = result.images_per_second or 0.0
    return [Fact("Images a second", f"{speed:,.1f}")] if speed else []


def _charts(result: SetResult, sizes: Sequence[float], visible: Sequence[float]) -> list[Chart]:
    largest = dict(sorted(result.per_class.items(), key=lambda item: -item[1])[:_SHOWN])
    heading = "Objects of each class"
    if len(largest) < len(result.per_class):
        heading = f"Objects of the {len(largest)} largest classes"
    amounts = {key: {"objects": float(value)} for key, value in largest.items()}
    charts = []
    if len(amounts) > 1:
        charts.append(Chart("classes", heading, "Objects that carry a label.", figures.bars(amounts, "Objects")))
    if len(sizes):
        figure = figures.histogram({"objects": sizes}, "Side of the object over the image's", (0.0, 1.0))
        charts.append(
            Chart("sizes", "How large the objects are", "The square root of the box's area over the image's.", figure)
        )
    if len(visible):
        figure = figures.histogram({"objects": visible}, "Visible fraction", (0.0, 1.0))
        caption = "What occlusion and the border leave of each object."
        charts.append(Chart("visible", "How much of the objects is seen", caption, figure))
    return charts
