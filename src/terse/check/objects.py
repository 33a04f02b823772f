"""What the parts hold: their classes against the task's, and masks that cannot be trusted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from terse.check.findings import MASK_CODES, Code, Found, Part, Show, sampled
from terse.progress import Observer
from terse.sources.annotations import Annotations, Cause
from terse.sources.cleanup import Flaw, MaskVerdict, examine
from terse.sources.losses import contradiction, count_losses

if TYPE_CHECKING:
    from terse.recipe import Recipe

__all__ = [
    "alike",
    "classes_of",
    "compare_classes",
    "cut_out_nothing",
    "examine_masks",
    "flawed_masks",
    "judges_of",
    "what_is_left",
    "without_masks",
]

_MASKS_AN_IMAGE = 5  # a mask takes 1.5 ms, an image 5 ms
_THREADS = 2


def classes_of(recipe: Recipe, parts: Mapping[str, Part]) -> tuple[str, ...]:
    """The task's classes, as a run takes them; none where they cannot be known."""
    if recipe.classes is not None:
        return recipe.classes
    return parts["foregrounds"].annotations.classes if "foregrounds" in parts else ()


def compare_classes(classes: Sequence[str], parts: Mapping[str, Part], *, every_class: bool = True) -> list[Found]:
    """Classes that nothing is pasted of, that the real images lack, or that the task passes over."""
    found = list(_without_foreground(classes, parts["foregrounds"], every_class)) if "foregrounds" in parts else []
    for name in (name for name in ("train", "val", "test") if name in parts and classes):
        counts = _left_of(name, parts).count_classes()
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


def _left_of(name: str, parts: Mapping[str, Part]) -> Annotations:
    """A part without the images that judge it; all of it where that leaves nothing, which is a finding of its own."""
    annotations = parts[name].annotations
    if name != "train":
        return annotations
    left = annotations.without_images_of(*judges_of(parts))
    return left if len(left) else annotations


def judges_of(parts: Mapping[str, Part]) -> list[Annotations]:
    """What val and test hold."""
    return [parts[name].annotations for name in ("val", "test") if name in parts]


def _without_foreground(classes: Sequence[str], part: Part, every_class: bool) -> Iterator[Found]:
    annotations = part.annotations
    if not annotations.usable.any():
        yield Found(code=Code.NO_MASKS, where=part.name, fields={"objects": len(annotations.labels)})
        return
    counts = annotations.keep_objects(annotations.usable).count_classes()
    stops = [name for name in classes if counts.get(name) == 0]
    if stops:
        code = Code.CLASSES_WITHOUT_FOREGROUND if every_class else Code.CLASSES_NOT_IN_SET
        yield Found(code=code, where=part.name, examples=stops)
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


def alike(part: Part) -> Iterator[Found]:
    """Classes of one part whose names differ by case, spaces, `-` or `_` alone."""
    groups: dict[str, list[str]] = {}
    for name in part.annotations.classes:
        groups.setdefault(re.sub(r"[\s_-]", "", name.casefold()), []).append(name)
    same = [" = ".join(names) for bare, names in groups.items() if bare and len(names) > 1]
    if same:
        yield Found(code=Code.CLASSES_ALIKE, where=part.name, examples=same)


def examine_masks(part: Part, judges: Sequence[Annotations], most: int, observer: Observer) -> list[MaskVerdict]:
    """Verdicts on the masks of a part: of all, or of a sample and of every class of which the sample leaves nothing.

    Args:
        part: the foregrounds, or data without a recipe.
        judges: the images of val and test, which are not cut from.
        most: at most five times so many masks, evenly spread; 0 is all.
        observer: hears of progress.
    """
    annotations = part.annotations
    rows = np.flatnonzero(annotations.usable)
    chosen = rows[sampled(len(rows), _MASKS_AN_IMAGE * most)]
    verdicts = examine(annotations, None, _THREADS, chosen.tolist(), observer)
    if len(chosen) == len(rows):
        return verdicts
    observer.say(f"{part.name}: {len(chosen):,} of {len(rows):,} masks are looked at; --sample 0 looks at all of them")
    taken = {file for other in judges for file in other.files}
    free = np.array([file not in taken for file in annotations.files], dtype=np.bool_)
    sound = [v.object for v in verdicts if not v.flaws and free[annotations.image_index[v.object]]]
    doubtful = set(annotations.labels[rows].tolist()).difference(annotations.labels[sound].tolist())
    rest = np.setdiff1d(rows[np.isin(annotations.labels[rows], list(doubtful))], chosen)
    return [*verdicts, *examine(annotations, None, _THREADS, rest.tolist(), observer)]


def flawed_masks(part: Part, verdicts: Sequence[MaskVerdict], *, cleanup: bool) -> Iterator[Found]:
    """A finding for each kind of bad mask; `cleanup` says whether a run will leave them out by itself."""
    image = part.annotations.image_index
    for flaw, code in MASK_CODES.items():
        bad = [verdict for verdict in verdicts if verdict.flaw is flaw]
        if bad:
            yield Found(
                code=code,
                where=part.name,
                examples=[f"{verdict.key} ({verdict.reasons[verdict.flaws.index(flaw)]})" for verdict in bad],
                cleaned=cleanup,
                leave_out={} if cleanup else {part.name: [verdict.key for verdict in bad]},
                shows=[
                    Show(part.annotations, int(image[v.object]), (v.object,), why="; ".join(v.reasons)) for v in bad
                ],
            )


def what_is_left(
    part: Part,
    classes: Sequence[str] | None,
    judges: Sequence[Annotations],
    verdicts: Sequence[MaskVerdict],
    *,
    cleanup: bool,
    every_class: bool = True,
) -> Iterator[Found]:
    """What makes a run stop: boxes that contradict their masks, and classes of which the run's own steps leave nothing.

    A set needs not `every_class`, but something to paste.
    """
    annotations = part.annotations
    clash = contradiction(annotations, verdicts)
    if clash is not None:
        rows = [verdict for verdict in verdicts if Flaw.BOX in verdict.flaws]
        examples = [f"{verdict.key} ({verdict.reasons[0]})" for verdict in rows]
        yield Found(code=Code.BOXES_CONTRADICT, where=part.name, examples=examples, fields={"clash": str(clash)})
    losses = count_losses(annotations, judges, [verdict for verdict in verdicts if verdict.flaws and cleanup])
    lost = [name for name in losses.lost if classes is None or name in classes]
    if lost and not all(losses.judged[name] == losses.had[name] for name in annotations.classes):
        examples = [f"{name} ({losses.why(name)})" for name in lost]
        stops = every_class or not any(
            losses.left(name) for name in classes or annotations.classes if name in losses.had
        )
        yield Found(code=Code.CLASSES_LOST if stops else Code.CLASSES_NOT_IN_SET, where=part.name, examples=examples)


def without_masks(part: Part) -> Found:
    """What data are good for that have no mask, or have lost them all."""
    lost = [item for item in part.annotations.skipped if item.cause in (Cause.MASK, Cause.OUTLINE)]
    if not lost:
        return Found(code=Code.NO_MASKS_IN_DATA, where=part.name)
    fields: dict[str, str | int | float] = {"skipped": len(lost), "first": str(lost[0])}
    return Found(code=Code.MASKS_LEFT_OUT, where=part.name, fields=fields)


def cut_out_nothing(part: Part, verdicts: Sequence[MaskVerdict]) -> Iterator[Found]:
    """Cut-outs serve nothing but pasting: where cleanup would leave not one of them, they are not ready."""
    if part.annotations.cut_outs and verdicts and all(verdict.flaws for verdict in verdicts):
        losses = count_losses(part.annotations, [], verdicts)
        yield Found(
            code=Code.NOTHING_TO_CUT_OUT, where=part.name, fields={"why": losses.flaws(*part.annotations.classes)}
        )
