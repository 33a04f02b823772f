"""Images on both sides: what trains the model must not judge it, and backgrounds must not hide labelled objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from terse.preflight.found import Found, Part, Show
from terse.preflight.pictures import Prints, same_in
from terse.sources.annotations import Annotations

__all__ = ["hidden_objects", "shared"]

_TRAINS = ("foregrounds", "backgrounds", "train")
_JUDGES = ("val", "test")


def shared(parts: Mapping[str, Part], prints: Prints) -> list[Found]:
    """Images, and copies of them under other names, of which one trains and the other judges."""
    return [*_files(parts), *_judges(parts), *_copies(parts, prints)]


def _files(parts: Mapping[str, Part]) -> list[Found]:
    """The same file: a run leaves it out by itself, which is worth knowing, or leaves nothing."""
    judged = {file for name in _JUDGES if name in parts for file in parts[name].notes.files}
    found = []
    for name in (name for name in _TRAINS if name in parts and judged):
        notes = parts[name].notes
        used = _used(parts[name])
        taken = [i for i in used if notes.files[i] in judged]
        if taken and len(taken) == len(used):
            advice = f"Every image of {name} is in val or test, and a run leaves such images out: nothing is left."
            found.append(Found("error", "Nothing left to train on", name, advice, [notes.paths[i] for i in taken]))
        elif taken:
            advice = (
                f"They are in val or test too. A run leaves them out of {name}: {len(used) - len(taken):,} are left."
            )
            found.append(Found("note", "Images that judge", name, advice, [notes.paths[i] for i in taken]))
    return found


def _judges(parts: Mapping[str, Part]) -> list[Found]:
    """Val and test apart from each other."""
    if "val" in parts and "test" not in parts:
        advice = "val chooses the best cycle and judges it too, which flatters a little; name a test source to report."
        return [Found("note", "No test images", "test", advice)]
    if not all(name in parts for name in _JUDGES):
        return []
    val, test = parts["val"].notes, parts["test"].notes
    both = set(val.files)
    same = [path for path, file in zip(test.paths, test.files, strict=True) if file in both]
    advice = "What chooses the best cycle must not judge it; take the images out of one of the two."
    return [Found("warning", "Images in val and test", "val, test", advice, same)] if same else []


def _copies(parts: Mapping[str, Part], prints: Prints) -> list[Found]:
    pairs: dict[str, Show] = {}
    lines: dict[str, list[str]] = {}
    for name in (name for name in _TRAINS if name in parts):
        mine = parts[name].notes
        used, keys = set(_used(parts[name])), mine.image_keys
        for other in (other for other in _JUDGES if other in parts):
            theirs = parts[other].notes
            for i, j in same_in(mine, theirs, prints):
                if i in used:
                    lines.setdefault(name, []).append(keys[i])
                    text = f"{mine.paths[i]} = {theirs.paths[j]} ({other})"
                    pairs.setdefault(text, Show(mine, i, beside=(theirs, j), why=f"{name} left, {other} right"))
    if not pairs:
        return []
    advice = "The same picture under another name, size or quality judges what it trained; leave the training side out."
    where = ", ".join(lines)
    unique = {name: list(dict.fromkeys(keys)) for name, keys in lines.items()}
    return [Found("warning", "Pictures on both sides", where, advice, list(pairs), unique, list(pairs.values()))]


def hidden_objects(parts: Mapping[str, Part], classes: Sequence[str], prints: Prints) -> list[Found]:
    """Backgrounds that, under this or another name, another part knows to hold an object of the task."""
    if "backgrounds" not in parts:
        return []
    notes = parts["backgrounds"].notes
    labelled = set(notes.with_classes(classes).image_index.tolist())
    hidden: dict[int, Show] = {}
    for part in parts.values():
        known = part.notes.with_classes(classes)
        if part.name == "backgrounds" or known.cut_outs or not len(known.labels):
            continue
        holding = set(known.image_index.tolist())
        place = {file: i for i, file in enumerate(known.files) if i in holding}
        same = [(i, place[file]) for i, file in enumerate(notes.files) if file in place]
        for i, j in [*same, *((i, j) for i, j in same_in(notes, known, prints) if j in holding)]:
            if i not in labelled:
                objects = tuple(known.objects_of(j).tolist())
                hidden.setdefault(i, Show(known, j, objects, why=f"labelled in {part.name}"))
    if not hidden:
        return []
    advice = (
        "Another part of the recipe labels objects in them, the backgrounds do not: the target is taught that these "
        "are nothing. Leave them out, or give the backgrounds their labels (coco:, voc: or yolo:)."
    )
    keys = notes.image_keys
    return [
        Found(
            "warning",
            "Labelled objects that the backgrounds do not know",
            "backgrounds",
            advice,
            [notes.paths[i] for i in hidden],
            {"backgrounds": [keys[i] for i in hidden]},
            list(hidden.values()),
        )
    ]


def _used(part: Part) -> list[int]:
    """The images a run uses: of foregrounds, those with an object that can be cut out."""
    notes: Annotations = part.notes
    if part.name != "foregrounds":
        return list(range(len(notes)))
    usable = notes.masked & ~notes.crowd & ~notes.ignore
    return [int(i) for i in np.unique(notes.image_index[usable])]
