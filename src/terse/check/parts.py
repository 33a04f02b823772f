"""The sources of a recipe, each read by itself: one that cannot be read does not hide the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from terse.check.findings import Code, Found, Part
from terse.errors import TerseError
from terse.progress import Observer
from terse.sources.annotations import Annotations, Cause, RemarkKind
from terse.sources.run_data import PARTS, open_sources

if TYPE_CHECKING:
    from terse.recipe import Recipe

__all__ = ["open_parts", "remarked", "skipped"]

_NAMES = (*PARTS, "val", "test")
_REMARKS = {
    RemarkKind.UNLABELLED: Code.ANNOTATIONS_NOT_FOUND,
    RemarkKind.DOUBT: Code.READING_DOUBTFUL,
    RemarkKind.READ_AS: Code.READ_AS,
}
_CAUSES = {Cause.FILE: Code.FILES_UNREADABLE, Cause.SIZE: Code.SIZES_DIFFER}


def open_parts(recipe: Recipe, observer: Observer | None = None) -> tuple[dict[str, Part], list[Found]]:
    """The parts that can be read, split as a run splits them, and errors for those that cannot."""
    broken: dict[str, TerseError] = {}
    read = open_sources(recipe, *_NAMES, broken=broken, observer=observer)
    parts = {name: _part(recipe, name, read[name]) for name in _NAMES if name in read}
    found, needed = [], PARTS[:2] if recipe.for_sets_alone else PARTS
    for name in _NAMES:
        if name in broken:
            found.append(Found(code=Code.SOURCE_UNREADABLE, where=name, fields={"error": str(broken[name])}))
        elif name in needed and getattr(recipe, name) is None:
            found.append(Found(code=Code.SOURCE_MISSING, where=name))
    return parts, found


def _part(recipe: Recipe, name: str, annotations: Annotations) -> Part:
    source = getattr(recipe, name)
    if source is None or isinstance(source, float):  # what was skipped is train's, and named once
        return Part(name, replace(annotations, skipped=(), remarks=()), held_out_of="train")
    return Part(name, annotations, source.leave_out)


def skipped(parts: Mapping[str, Part]) -> Iterator[Found]:
    """What the sources left out by themselves: files first, then annotations, with the number of each cause."""
    for code in (Code.FILES_UNREADABLE, Code.SIZES_DIFFER, Code.ANNOTATIONS_UNUSABLE):
        items = [
            (part.name, item)
            for part in parts.values()
            for item in part.annotations.skipped
            if _CAUSES.get(item.cause, Code.ANNOTATIONS_UNUSABLE) is code
        ]
        if items:
            unique = {str(item): item.cause for _, item in items}
            causes = [(cause, sum(one is cause for one in unique.values())) for cause in Cause]
            yield Found(
                code=code,
                where=", ".join(dict.fromkeys(name for name, _ in items)),
                examples=list(unique),
                fields={"causes": ", ".join(f"{cause}: {count:,}" for cause, count in causes if count)},
            )


def remarked(parts: Mapping[str, Part]) -> Iterator[Found]:
    """What the sources say of how they were read, each sentence once."""
    for kind, code in _REMARKS.items():
        items = [
            (part.name, remark.text)
            for part in parts.values()
            for remark in part.annotations.remarks
            if remark.kind is kind
        ]
        if items:
            where = ", ".join(dict.fromkeys(name for name, _ in items))
            yield Found(code=code, where=where, examples=list(dict.fromkeys(text for _, text in items)))
