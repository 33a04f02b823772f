"""Do the parts, the task and the target mean the same by their classes?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from terse.errors import TerseError
from terse.preflight.found import Found, Part
from terse.sources.annotations import Annotations

if TYPE_CHECKING:
    from terse.recipe import Recipe

__all__ = ["build_target", "category_ids", "classes_of", "compare_classes", "count_classes"]


def classes_of(recipe: Recipe, parts: Mapping[str, Part]) -> tuple[str, ...]:
    """The task's classes, as a run takes them; none where they cannot be known."""
    if recipe.classes is not None:
        return recipe.classes
    return parts["foregrounds"].notes.classes if "foregrounds" in parts else ()


def count_classes(notes: Annotations) -> dict[str, int]:
    """Objects of each class, in the order of the classes."""
    counts = np.bincount(notes.labels, minlength=len(notes.classes)).tolist()
    return dict(zip(notes.classes, counts, strict=True))


def compare_classes(classes: Sequence[str], parts: Mapping[str, Part]) -> list[Found]:
    """Classes that nothing is pasted of, that the real images lack, or that the task passes over."""
    found = []
    if "foregrounds" in parts:
        found += _without_foreground(classes, parts["foregrounds"])
    for name in ("train", "val", "test"):
        if name not in parts or not classes:
            continue
        counts = count_classes(parts[name].notes)
        missing = [one for one in classes if not counts.get(one)]
        if len(missing) == len(classes):
            advice = f"{name} holds no object of the task's classes, so there is nothing to learn or to judge by there."
            found.append(Found("error", "No objects", name, advice + _alike(missing, counts), missing))
        elif missing:
            does = "learns them from composites alone" if name == "train" else "is not judged by them"
            advice = f"{name} holds no object of these classes: the target {does}."
            found.append(Found("warning", "Classes missing", name, advice + _alike(missing, counts), missing))
        spare = [one for one, count in counts.items() if count and one not in classes]
        if spare:
            advice = "Their objects count as background, because the task does not name these classes."
            found.append(Found("note", "Classes that the task passes over", name, advice, spare))
    return found


def _without_foreground(classes: Sequence[str], part: Part) -> list[Found]:
    notes = part.notes
    usable = notes.masked & ~notes.crowd & ~notes.ignore
    if not usable.any():
        advice = (
            f"None of its {len(notes.labels):,} objects has a mask that can be cut out; use annotations with polygons, "
            "run lengths or mask files."
        )
        return [Found("error", "No masks", part.name, advice)]
    counts = np.bincount(notes.labels[usable], minlength=len(notes.classes))
    named = dict(zip(notes.classes, counts.tolist(), strict=True))
    stops = [name for name in classes if named.get(name) == 0]
    absent = [name for name in classes if name not in named]
    found = []
    if stops:
        advice = (
            "A run stops, because none of their objects has a mask; name the classes to paste in foregrounds.classes."
        )
        found.append(Found("error", "Classes without a foreground", part.name, advice, stops))
    if absent:
        advice = "Nothing is pasted of these classes: the foregrounds do not know them." + _alike(absent, named)
        found.append(Found("warning", "Classes that are never pasted", part.name, advice, absent))
    return found


def _alike(names: Sequence[str], known: Mapping[str, int]) -> str:
    """A hint where a class is only spelt in another way."""
    spelt = {_bare(name): name for name in known}
    pairs = [(name, spelt[_bare(name)]) for name in names if _bare(name) in spelt and name not in known]
    return "".join(f" Is {one!r} what is called {other!r} there?" for one, other in pairs[:3])


def _bare(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def build_target(recipe: Recipe, classes: Sequence[str]) -> tuple[Any, list[Found]]:
    """The target, None where it cannot be built, and what its labels mean."""
    try:
        target = recipe.target.build(classes=tuple(classes), canvas_px=recipe.canvas_px)
    except TerseError as error:
        return None, [Found("error", "Target that does not fit", "target", f"{error}.")]
    columns = getattr(target, "columns", None)
    given = getattr(recipe.target, "labels", None)
    if columns is None or given or getattr(target, "found", "") != "detector":
        return target, []
    numbers = ", ".join(f"{name} {column}" for name, column in list(zip(classes, columns, strict=True))[:8])
    ids = {name: number for name, number in _ids(recipe).items() if name in classes}
    other = {name: ids[name] for name, column in zip(classes, columns, strict=True) if ids.get(name, column) != column}
    if not other:
        return target, []
    named = ", ".join(f"{name} {number}" for name, number in list(other.items())[:8])
    advice = (
        f"The detector's labels are taken as the task's classes counted from 1 ({numbers}); the data number them "
        f"otherwise ({named}). Where the detector was trained with the data's numbers, write them in target.labels."
    )
    return target, [Found("warning", "Labels that may be shifted", "target", advice, list(other))]


def category_ids(file: Path) -> dict[str, int]:
    """The ids of a COCO file's categories."""
    import json

    listed = json.loads(file.read_bytes()).get("categories", [])
    return {str(item.get("name")): item["id"] for item in listed if isinstance(item.get("id"), int)}


def _ids(recipe: Recipe) -> dict[str, int]:
    """The category ids of a COCO source; nothing for the others, which have none."""
    for source in (recipe.train, recipe.foregrounds):
        file = getattr(source, "coco", None)
        if isinstance(file, Path) and file.is_file():
            try:
                return category_ids(file)
            except (ValueError, AttributeError, TypeError):  # no COCO file: its part says so
                continue
    return {}
