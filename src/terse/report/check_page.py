"""The page of `terse check`: what stands in the way of a run, with the images that show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from terse.pictures.gallery import Gallery
from terse.pictures.page_folder import Shown
from terse.report.figures import class_charts, size_charts
from terse.report.parts import Command, Fact, Headline, PageData, Table, count, number

__all__ = ["Finding", "Weight", "check_page"]

Weight = Literal["error", "warning", "note"]
"""How much a finding matters: an error stops a run, a warning makes it worse, a note is worth knowing."""

_EXAMPLES = 3
_ORDER = ("error", "warning", "note")


class Finding(Protocol):
    """One kind of trouble, as the page tells it."""

    @property
    def weight(self) -> Weight:
        """An error stops a run, a warning makes it worse, a note is worth knowing."""

    @property
    def name(self) -> str:
        """In a few words; gallery items that show it have this as their `arm`."""

    @property
    def where(self) -> str:
        """The part of the recipe, or the file."""

    @property
    def advice(self) -> str:
        """What it does to a run and what to do, in a sentence."""

    @property
    def examples(self) -> Sequence[str]:
        """All of the things, by name; the page shows some."""


def check_page(
    subject: str,
    findings: Sequence[Finding],
    *,
    purpose: Literal["run", "set"] = "run",
    facts: Sequence[Fact] = (),
    classes: Mapping[str, Mapping[str, int]] | None = None,
    sizes: Mapping[str, Sequence[float]] | None = None,
    gallery: Gallery | None = None,
    leave_out: Sequence[str] = (),
    recipe_yaml: str = "",
    commands: Sequence[Command] = (),
) -> PageData:
    """The page of `terse check`.

    Args:
        subject: the recipe or data that was looked at.
        findings: what was found, in any order.
        purpose: what the recipe or the data are for.
        facts: counts of images, objects, masks, foregrounds, backgrounds.
        classes: objects of each class, by part (foregrounds, train, val).
        sizes: objects' sides over their image's, by part.
        gallery: images that show the findings, with `arm` the finding's name and `arm_word` "Finding".
        leave_out: what should be left out, ready to be written into a file.
        recipe_yaml: the resolved recipe, where there is one.
        commands: what to type next.
    """
    by_class: dict[str, dict[str, float]] = {}
    for part, amounts in (classes or {}).items():
        for name, amount in amounts.items():
            by_class.setdefault(name, {})[part] = float(amount)
    ordered = sorted(findings, key=lambda finding: _ORDER.index(finding.weight))
    errors, warnings = (sum(finding.weight == weight for finding in findings) for weight in ("error", "warning"))
    title, headline = _answer(errors, warnings, purpose)
    return PageData(
        title=title,
        kind="check",
        name=subject,
        headline=headline,
        facts=facts,
        charts=[
            *class_charts(by_class, "Where the objects are: the parts of the recipe."),
            *size_charts(sizes or {}, " Parts that differ much will not help each other."),
        ],
        tables=[
            *([_findings_table(ordered)] if ordered else []),
            *([_class_table(classes)] if classes else []),
            *([_leave_out_table(leave_out)] if leave_out else []),
        ],
        shown=Shown(gallery=gallery or Gallery()),
        recipe=recipe_yaml,
        commands=commands,
    )


def _answer(errors: int, warnings: int, purpose: Literal["run", "set"]) -> tuple[str, Headline]:
    """The title, and whether a run can start, or a set be made."""
    alone = " It is for sets: it names nothing to train, or to train on." if purpose == "set" else ""
    if errors:
        sentence = (
            f"A {purpose} would stop or {'hold' if alone else 'learn'} something wrong; the table says where.{alone}"
        )
        return f"{count(errors, 'thing')} to mend before a {purpose}", Headline("Not ready", sentence, "bad")
    if warnings:
        title = f"Ready, with {count(warnings, 'thing')} to look at"
        return title, Headline("Ready", f"A {purpose} works; what is listed makes it worse.{alone}", "unsure")
    title = "Ready for terse generate" if alone else "Ready to run"
    return title, Headline("Ready", f"Nothing was found that stands in the way.{alone}", "good")


def _findings_table(findings: Sequence[Finding]) -> Table:
    rows = []
    for finding in findings:
        shown = ", ".join(finding.examples[:_EXAMPLES])
        rest = len(finding.examples) - _EXAMPLES
        examples = f"{shown} and {rest:,} more" if rest > 0 else shown
        rows.append(
            (finding.name, finding.weight, number(len(finding.examples)), finding.where, finding.advice, examples)
        )
    return Table(
        "What was found", ("Finding", "Weight", "How many", "Where", "What to do", "For example"), rows, prose=True
    )


def _class_table(classes: Mapping[str, Mapping[str, int]]) -> Table:
    names = list(dict.fromkeys(name for amounts in classes.values() for name in amounts))
    rows = [(name, *(number(amounts.get(name, 0)) for amounts in classes.values())) for name in names]
    return Table("Classes", ("Class", *classes), rows)


def _leave_out_table(leave_out: Sequence[str]) -> Table:
    caption = "Leaving these out mends what can be mended without new annotations."
    return Table("To leave out", ("Name",), [(name,) for name in leave_out], caption)
