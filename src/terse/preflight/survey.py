"""What `terse init` sees: counts, classes, masks, sizes, and whether there is a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from terse.errors import DataError
from terse.registry import nearest

if TYPE_CHECKING:
    from terse.sources.annotations import Annotations

__all__ = ["Survey", "choose_classes", "survey", "told"]


@dataclass(frozen=True, slots=True)
class Survey:
    """A source in numbers."""

    images: int
    objects: dict[str, int]  # by class
    masks: dict[str, int]  # that can be cut out, by class
    side_share: float  # median of the objects' sides over their image's; 0 without objects
    skipped: int


def survey(notes: Annotations) -> Survey:
    """Count what a source holds."""
    usable = notes.masked & ~notes.crowd & ~notes.ignore
    sides = (notes.boxes_px[:, 2:] - notes.boxes_px[:, :2]).prod(axis=1)
    whole = notes.sizes_px[notes.image_index].prod(axis=1) if len(notes.labels) else np.ones(0)
    return Survey(
        images=len(notes),
        objects=_by_class(notes, notes.labels),
        masks=_by_class(notes, notes.labels[usable]),
        side_share=float(np.median(np.sqrt(sides / whole))) if len(notes.labels) else 0.0,
        skipped=len(notes.skipped),
    )


def _by_class(notes: Annotations, labels: np.ndarray) -> dict[str, int]:
    counts = np.bincount(labels, minlength=len(notes.classes)).tolist()
    return dict(zip(notes.classes, counts, strict=True))


def choose_classes(foregrounds: Survey, train: Survey, wanted: Sequence[str], where: str) -> tuple[str, ...]:
    """The classes to paste: those asked for, else all that have a mask and stand in the real images too.

    Raises:
        DataError: no masks, a class without any, or one that the real images do not have.
    """
    objects, masks = sum(foregrounds.objects.values()), sum(foregrounds.masks.values())
    if not masks:
        raise DataError(
            f"{where}: expected objects with masks to cut out, got {objects:,} objects without any; "
            "use annotations with polygons, run lengths or mask files, or give cut-outs by --cutouts D"
        )
    for name in wanted:
        if name not in foregrounds.masks:
            known = ", ".join(list(foregrounds.masks)[:20])
            hint = nearest(name, foregrounds.masks) or f"; it has {known}"
            raise DataError(f"--classes: expected classes of {where}, got {name!r}{hint}")
        if not foregrounds.masks[name]:
            raise DataError(
                f"--classes: expected classes with masks in {where}, got {name!r}, whose {foregrounds.objects[name]:,} "
                "objects have none; leave it out"
            )
    chosen = tuple(wanted or (name for name, count in foregrounds.masks.items() if count and train.objects.get(name)))
    missing = [name for name in chosen if not train.objects.get(name)]
    if missing or not chosen:
        has = ", ".join([name for name, count in train.objects.items() if count][:20]) or "none"
        raise DataError(
            f"train: expected real images with {', '.join(missing) or 'a class that is pasted'}, got none; they have {has}"
        )
    return chosen


def told(name: str, seen: Survey) -> str:
    """The numbers in a line."""
    if not seen.objects:
        return f"{name:<12} {_count(seen.images, 'image')}{_left_out(seen)}"
    objects, masks = sum(seen.objects.values()), sum(seen.masks.values())
    held = sum(count > 0 for count in seen.objects.values())
    return (
        f"{name:<12} {_count(seen.images, 'image')}, {_count(objects, 'object')} of {held:,} "
        f"{'class' if held == 1 else 'classes'}, {_count(masks, 'mask')}; "
        f"half of the objects are smaller than {seen.side_share:.0%} of their image's side{_left_out(seen)}"
    )


def _left_out(seen: Survey) -> str:
    return f"; {seen.skipped:,} left out, see `terse check`" if seen.skipped else ""


def _count(amount: int, word: str) -> str:
    return f"{amount:,} {word}" + ("" if amount == 1 else "s")
