"""What the parts hold: their classes against the task's, and masks that cannot be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from terse.check.findings import MASK_CODES, Code, Found, Part, Show, sampled
from terse.progress import Observer
from terse.sources.annotations import Annotations
from terse.sources.cleanup import Flaw, Verdict, examine

if TYPE_CHECKING:
    from terse.recipe import Recipe

__all__ = ["classes_of", "compare_classes", "examine_masks"]

_CHUNK = 200
_MASKS_AN_IMAGE = 5  # a mask takes 1.5 ms, an image 5 ms
_THREADS = 2


def classes_of(recipe: Recipe, parts: Mapping[str, Part]) -> tuple[str, ...]:
    """The task's classes, as a run takes them; none where they cannot be known."""
    if recipe.classes is not None:
        return recipe.classes
    return parts["foregrounds"].annotations.classes if "foregrounds" in parts else ()


def compare_classes(classes: Sequence[str], parts: Mapping[str, Part]) -> list[Found]:
    """Classes that nothing is pasted of, that the real images lack, or that the task passes over."""
    found = list(_without_foreground(classes, parts["foregrounds"])) if "foregrounds" in parts else []
    for name in (name for name in ("train", "val", "test") if name in parts and classes):
        counts = parts[name].annotations.count_classes()
        missing = [one for one in classes if not counts.get(one)]
        alike = _alike(missing, counts)
        if len(missing) == len(classes):
            found.append(Found(code=Code.NO_OBJECTS, where=name, examples=missing, fields={"alike": alike}))
        elif missing:
            does = "learns them from composites alone" if name == "train" else "is not judged by them"
            fields = {"does": does, "alike": alike}
            found.append(Found(code=Code.CLASSES_MISSING, where=name, examples=missing, fields=fields))
        spare = [one for one, count in counts.items() if count and one not in classes]
        if spare:
            found.append(Found(code=Code.CLASSES_PASSED_OVER, where=name, examples=spare))
    return found


def _without_foreground(classes: Sequence[str], part: Part) -> Iterator[Found]:
    annotations = part.annotations
    if not annotations.usable.any():
        yield Found(code=Code.NO_MASKS, where=part.name, fields={"objects": len(annotations.labels)})
        return
    counts = annotations.keep_objects(annotations.usable).count_classes()
    stops = [name for name in classes if counts.get(name) == 0]
    if stops:
        yield Found(code=Code.CLASSES_WITHOUT_FOREGROUND, where=part.name, examples=stops)
    absent = [name for name in classes if name not in counts]
    if absent:
        fields = {"alike": _alike(absent, counts)}
        yield Found(code=Code.CLASSES_NEVER_PASTED, where=part.name, examples=absent, fields=fields)


def _alike(names: Sequence[str], known: Mapping[str, int]) -> str:
    """A hint where a class is only spelt in another way."""
    spelt = {_bare(name): name for name in known}
    pairs = [(name, spelt[_bare(name)]) for name in names if _bare(name) in spelt and name not in known]
    return "".join(f" Is {one!r} what is called {other!r} there?" for one, other in pairs[:3])


def _bare(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def examine_masks(part: Part, most: int, observer: Observer, *, cleanup: bool) -> list[Found]:
    """A finding for each kind of bad mask.

    Args:
        part: the foregrounds, or data without a recipe.
        most: at most five times so many masks, evenly spread; 0 is all.
        observer: hears of progress.
        cleanup: whether a run will leave them out by itself.
    """
    rows = np.flatnonzero(part.annotations.usable)
    chosen = rows[sampled(len(rows), _MASKS_AN_IMAGE * most)]
    if len(chosen) < len(rows):
        observer.say(
            f"{part.name}: {len(chosen):,} of {len(rows):,} masks are looked at; --sample 0 looks at all of them"
        )
    bad: list[Verdict] = []
    for start in range(0, len(chosen), _CHUNK):
        some = chosen[start : start + _CHUNK]
        # Others of the image stay in the index, as a mask may cover them; only these are examined.
        verdicts = examine(_examined(part.annotations, some), workers=_THREADS)
        bad += [verdict for verdict in verdicts if verdict.flaws]
        observer.advance(f"masks of {part.name}", start + len(some), len(chosen))
    return [_flawed(part, flaw, bad, cleanup=cleanup) for flaw in MASK_CODES if any(v.flaw is flaw for v in bad)]


def _examined(annotations: Annotations, rows: np.ndarray) -> Annotations:
    """The index in which all but these objects have no mask; object numbers stay as they are."""
    wanted = set(rows.tolist())
    return replace(annotations, masks=tuple(mask if i in wanted else None for i, mask in enumerate(annotations.masks)))


def _flawed(part: Part, flaw: Flaw, bad: Sequence[Verdict], *, cleanup: bool) -> Found:
    verdicts = [verdict for verdict in bad if verdict.flaw is flaw]
    image = part.annotations.image_index
    return Found(
        code=MASK_CODES[flaw],
        where=part.name,
        examples=[f"{verdict.key} ({verdict.reasons[0]})" for verdict in verdicts],
        cleaned=cleanup,
        leave_out={} if cleanup else {part.name: [verdict.key for verdict in verdicts]},
        shows=[Show(part.annotations, int(image[v.object]), (v.object,), why="; ".join(v.reasons)) for v in verdicts],
    )
