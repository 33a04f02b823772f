"""What `terse init` sees of a source: counts, classes, masks and sizes; and which classes it pastes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from terse.errors import DataError
from terse.registry import nearest
from terse.report.words import count

if TYPE_CHECKING:
    from terse.sources.annotations import Annotations

__all__ = ["Survey", "choose_classes", "survey"]


@dataclass(frozen=True, slots=True)
class Survey:
    """A source in numbers."""

    images: int
    objects: dict[str, int]  # by class
    masks: dict[str, int]  # that can be cut out, by class
    side_share: float  # median of the objects' sides over their image's; 0 without objects
    skipped: int

    def line(self, name: str) -> str:
        """The numbers in a line that begins with this name."""
        left_out = f"; {self.skipped:,} left out, see `terse check`" if self.skipped else ""
        if not self.objects:
            return f"{name:<12} {count(self.images, 'image')}{left_out}"
        objects, masks = sum(self.objects.values()), sum(self.masks.values())
        held = sum(amount > 0 for amount in self.objects.values())
        return (
            f"{name:<12} {count(self.images, 'image')}, {count(objects, 'object')} of {held:,} "
            f"{'class' if held == 1 else 'classes'}, {count(masks, 'mask')}; "
            f"half of the objects are smaller than {self.side_share:.0%} of their image's side{left_out}"
        )


def survey(annotations: Annotations) -> Survey:
    """Count what a source holds."""
    sides = (annotations.boxes_px[:, 2:] - annotations.boxes_px[:, :2]).prod(axis=1)
    whole = annotations.sizes_px[annotations.image_index].prod(axis=1) if len(annotations.labels) else np.ones(0)
    return Survey(
        images=len(annotations),
        objects=annotations.count_classes(),
        masks=annotations.keep_objects(annotations.usable).count_classes(),
        side_share=float(np.median(np.sqrt(sides / whole))) if len(annotations.labels) else 0.0,
        skipped=len(annotations.skipped),
    )


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
