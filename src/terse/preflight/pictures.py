"""Each image decoded once: is it whole, and does it show the same picture as another?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from terse.errors import DataError
from terse.preflight.found import Found, Part, Show, sampled
from terse.progress import Observer
from terse.sources.annotations import Annotations
from terse.sources.duplicates import picture_prints, same_pictures

__all__ = ["Prints", "broken", "decode", "repeated", "same_in"]

_CHUNK = 64
_THREADS = 2

Prints = Mapping[str, bytes | str]
"""By file: 64 bytes that know the picture, or the sentence that says why it cannot be decoded."""


def decode(parts: Sequence[Part], most: int, observer: Observer) -> Prints:
    """The prints of at most so many images of each part."""
    prints: dict[str, bytes | str] = {}
    for part in parts:
        bare = part.notes.keep_objects(np.zeros(len(part.notes.labels), dtype=np.bool_))
        chosen = sampled(len(bare), most)
        if len(chosen) < len(bare):
            observer.say(
                f"{part.name}: {len(chosen):,} of {len(bare):,} images are decoded; --sample 0 looks at all of them"
            )
        files = bare.files
        new = [i for i in chosen if files[i] not in prints]
        for start in range(0, len(new), _CHUNK):
            rows = new[start : start + _CHUNK]
            prints.update(zip((files[i] for i in rows), _prints(_only(bare, rows)), strict=True))
            observer.advance(f"decoding {part.name}", start + len(rows), len(new))
    return prints


def _prints(notes: Annotations) -> list[bytes | str]:
    try:
        return [bytes(print_) for print_ in picture_prints(notes, workers=_THREADS)]
    except DataError as error:
        if len(notes) == 1:
            return [str(error)]
        return [found for i in range(len(notes)) for found in _prints(_only(notes, [i]))]


def _only(notes: Annotations, rows: Sequence[int]) -> Annotations:
    keep = np.zeros(len(notes), dtype=np.bool_)
    keep[list(rows)] = True
    return notes.keep_images(keep)


def broken(parts: Sequence[Part], prints: Prints) -> list[Found]:
    """Files whose header is sound and whose pixels are not: a run would stop when it comes to them."""
    lines: dict[str, list[str]] = {}
    sentences: dict[str, None] = {}
    for part in parts:
        for key, file in zip(part.notes.image_keys, part.notes.files, strict=True):
            told = prints.get(file)
            if isinstance(told, str):
                lines.setdefault(part.held_out_of or part.name, []).append(key)
                sentences[told] = None
    if not lines:
        return []
    advice = "A run stops where it meets them; restore them, or give each part its list of what to leave out."
    return [Found("error", "Images that cannot be decoded", ", ".join(lines), advice, list(sentences), lines)]


def repeated(part: Part, prints: Prints) -> list[Found]:
    """Pictures that stand in one set twice."""
    numbers, known = _known(part.notes, prints)
    pairs = [(numbers[i], numbers[j]) for i, j in same_pictures(known, known) if i < j]
    if not pairs:
        return []
    keys = part.notes.image_keys
    advice = "A split at random may put one copy on each side, which flatters every number; leave one of each pair out."
    return [
        Found(
            "warning",
            "Pictures that occur twice",
            part.name,
            advice,
            [f"{part.notes.paths[i]} = {part.notes.paths[j]}" for i, j in pairs],
            {part.name: list(dict.fromkeys(keys[j] for _, j in pairs))},
            [Show(part.notes, i, beside=(part.notes, j), why="the same picture twice") for i, j in pairs],
        )
    ]


def same_in(one: Annotations, other: Annotations, prints: Prints) -> list[tuple[int, int]]:
    """Images of the two that are different files and show the same picture."""
    mine, known = _known(one, prints)
    theirs, others = _known(other, prints)
    files, other_files = one.files, other.files
    pairs = [(mine[i], theirs[j]) for i, j in same_pictures(known, others)]
    return [(i, j) for i, j in pairs if files[i] != other_files[j]]


def _known(notes: Annotations, prints: Prints) -> tuple[list[int], UInt8[np.ndarray, "n 64"]]:
    """The images whose print is known."""
    rows = [(i, prints.get(file)) for i, file in enumerate(notes.files)]
    good = [(i, found) for i, found in rows if isinstance(found, bytes)]
    joined = b"".join(found for _, found in good)
    return [i for i, _ in good], np.frombuffer(joined, dtype=np.uint8).reshape(-1, 64)
