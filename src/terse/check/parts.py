"""The sources of a recipe, each read by itself: one that cannot be read does not hide the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from terse.check.findings import Code, Found, Part
from terse.errors import TerseError
from terse.sources.annotations import Cause, RemarkKind
from terse.sources.run_data import PARTS, split_train

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


def open_parts(recipe: Recipe) -> tuple[dict[str, Part], list[Found]]:
    """The parts that can be read, split as a run splits them, and errors for those that cannot."""
    parts: dict[str, Part] = {}
    found: list[Found] = []
    for name in _NAMES:
        config: Any = getattr(recipe, name)
        if config is None and name in PARTS:
            found.append(Found(code=Code.SOURCE_MISSING, where=name))
        if config is None or isinstance(config, float):
            continue
        try:
            parts[name] = Part(name, config.build(), config.leave_out)
        except TerseError as error:
            found.append(Found(code=Code.SOURCE_UNREADABLE, where=name, fields={"error": str(error)}))
    if "train" in parts:
        for name, annotations in split_train(recipe, parts["train"].annotations).items():
            if name == "train":
                parts[name] = Part(name, annotations, parts[name].leave_out)
            else:  # what was skipped is train's, and named once
                parts[name] = Part(name, replace(annotations, skipped=(), remarks=()), held_out_of="train")
    return {name: parts[name] for name in _NAMES if name in parts}, found


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
