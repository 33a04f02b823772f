"""Masks that cannot be trusted: the verdicts of `sources.cleanup`, by their first reason."""

from __future__ import annotations

import numpy as np

from terse.preflight.found import Found, Part, Show, sampled
from terse.progress import Observer
from terse.sources.annotations import Annotations
from terse.sources.cleanup import Verdict, examine

__all__ = ["examine_masks"]

_CHUNK = 200
_MASKS_AN_IMAGE = 5  # a mask takes 1.5 ms, an image 5 ms
_THREADS = 2
_SMALL = "Small objects"
_KINDS = (
    # beginning of the reason or a part of it, name, what it is
    ("the mask is empty", "Empty masks", "There is nothing to cut out."),
    ("box and mask's box", "Mask and box disagree", "One of the two belongs to something else."),
    ("longer side less", _SMALL, "A blur where they are pasted larger."),
    ("of its hull", "Scraps", "What is seen of something behind something else."),
    ("of another object's box", "One mask for two objects", "It covers its neighbour too."),
    ("the largest part", "Masks in pieces", "They hang in the air when they are pasted."),
    ("the image's border", "Cut by the border", "Pasted inside an image they show straight edges."),
    ("", "Masks that cannot be read", "Their files are missing, broken or of another size."),
)


def examine_masks(part: Part, most: int, observer: Observer, *, cleanup: bool) -> list[Found]:
    """A finding for each kind of bad mask.

    Args:
        part: the foregrounds, or data without a recipe.
        most: at most five times so many masks, evenly spread; 0 is all.
        observer: watches.
        cleanup: whether a run will leave them out by itself.
    """
    notes = part.notes
    rows = np.flatnonzero(notes.masked & ~notes.crowd & ~notes.ignore)
    chosen = rows[sampled(len(rows), _MASKS_AN_IMAGE * most)]
    if len(chosen) < len(rows):
        observer.say(
            f"{part.name}: {len(chosen):,} of {len(rows):,} masks are looked at; --sample 0 looks at all of them"
        )
    bad: list[Verdict] = []
    for start in range(0, len(chosen), _CHUNK):
        some = chosen[start : start + _CHUNK]
        # Others of the image stay in the index, as a mask may cover them; only these are examined.
        verdicts = examine(_examined(notes, some), workers=_THREADS)
        bad += [verdict for verdict in verdicts if verdict.reasons]
        observer.advance(f"masks of {part.name}", start + len(some), len(chosen))
    return _by_kind(part, bad, cleanup=cleanup)


def _examined(notes: Annotations, rows: np.ndarray) -> Annotations:
    """The index in which all but these objects have no mask; object numbers stay as they are."""
    from dataclasses import replace

    wanted = set(rows.tolist())
    return replace(notes, masks=tuple(mask if i in wanted else None for i, mask in enumerate(notes.masks)))


def _by_kind(part: Part, bad: list[Verdict], *, cleanup: bool) -> list[Found]:
    kinds: dict[str, list[Verdict]] = {}
    for verdict in bad:
        kinds.setdefault(_kind(verdict), []).append(verdict)
    found = []
    for _, name, meaning in _KINDS:
        verdicts = kinds.get(name, [])
        if not verdicts:
            continue
        keys = [verdict.key for verdict in verdicts]
        what = (
            "A run leaves them out of the foregrounds (cleanup: true)."
            if cleanup
            else "Leave them out of the foregrounds, by the list or by cleanup: true."
        )
        image = part.notes.image_index
        found.append(
            Found(
                "note" if cleanup or name == _SMALL else "warning",
                name,
                part.name,
                f"{meaning} {what}",
                [f"{verdict.key} ({verdict.reasons[0]})" for verdict in verdicts],
                {} if cleanup else {part.name: keys},
                [Show(part.notes, int(image[v.object]), (v.object,), why="; ".join(v.reasons)) for v in verdicts],
            )
        )
    return found


def _kind(verdict: Verdict) -> str:
    """Of a small object, mask and box differ by a pixel or two, which says nothing more."""
    kinds = [next(name for mark, name, _ in _KINDS if mark in reason) for reason in verdict.reasons]
    return _SMALL if _SMALL in kinds else kinds[0]
