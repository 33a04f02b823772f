"""What `terse init` sees of a source: counts, classes, masks and sizes; and which classes it pastes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from terse.errors import DataError
from terse.registry import nearest
from terse.report.parts import count

if TYPE_CHECKING:
    from terse.sources.annotations import Annotations
    from terse.sources.losses import LeftToPaste

__all__ = ["Survey", "choose_classes", "expect_masks", "measured_scale", "measured_scales", "survey"]

_SCALES = (0.03, 1.2)  # no less and no more
_WIDER = 1.1
_FEWEST_CLASSES = 2
_MEASURED = 5  # objects, from which on a class has a range of its own
_DIFFER = 1.5


@dataclass(frozen=True, slots=True)
class Survey:
    """A source in numbers."""

    images: int
    objects: dict[str, int]  # by class
    masks: dict[str, int]  # that can be cut out, by class
    side_share: float  # median of the objects' sides over their image's; 0 without objects
    skipped: int
    set_aside: int = 0  # objects with a mask that are crowds or to be ignored

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
        set_aside=int((annotations.masked & ~annotations.usable).sum()),
    )


def measured_scale(annotations: Annotations, classes: Sequence[str]) -> tuple[float, float]:
    """The range of `poses.scale` that holds nine in ten objects of these classes.

    An object's longer side as a share of the canvas that its photograph is squashed to.
    """
    known = annotations.with_classes(classes)
    counts = ~known.crowd & ~known.ignore
    boxes, sizes = known.boxes_px[counts], known.sizes_px[known.image_index[counts]]
    if not len(boxes):
        return _SCALES
    shares = ((boxes[:, 2:] - boxes[:, :2]) / sizes).max(axis=1)
    low, high = np.quantile(shares, (0.05, 0.95)).tolist()
    low, high = max(_SCALES[0], low / _WIDER), min(_SCALES[1], high * _WIDER)
    return round(min(low, high), 2), round(max(low, high), 2)


def measured_scales(
    annotations: Annotations, classes: Sequence[str]
) -> tuple[float, float] | dict[str, tuple[float, float]]:
    """As `measured_scale`; a range for each class where the middles of two ranges differ by half or more."""
    whole = measured_scale(annotations, classes)
    if len(classes) < _FEWEST_CLASSES:
        return whole
    counts = annotations.count_classes()
    scales = {name: measured_scale(annotations, [name]) if counts[name] >= _MEASURED else whole for name in classes}
    middles = [math.sqrt(low * high) for low, high in scales.values()]
    return scales if max(middles) >= _DIFFER * min(middles) else whole


def expect_masks(foregrounds: Survey, where: str, command: str) -> None:
    """Refuse foregrounds of which nothing can be cut out.

    Args:
        foregrounds: what there is to cut out.
        where: what the user calls them.
        command: what makes masks for them.

    Raises:
        DataError: no masks.
    """
    if any(foregrounds.masks.values()):
        return
    if not any(foregrounds.objects.values()) and not foregrounds.set_aside:
        raise DataError(
            f"{where}: expected annotated photographs, got {count(foregrounds.images, 'image')} without any object; name the "
            "file of annotations, or the folder that holds it"
        )
    if foregrounds.set_aside:
        raise DataError(
            f"{where}: expected single objects with masks to cut out, got {foregrounds.set_aside:,} masks of crowds or "
            "of objects to ignore; annotate single objects, or give cut-outs by --cutouts D"
        )
    raise DataError(
        f"{where}: expected objects with masks to cut out, got {sum(foregrounds.objects.values()):,} objects without any; "
        f"make masks of the boxes by `{command}` and give these by --coco, use annotations with polygons, run lengths or "
        "mask files, or give cut-outs by --cutouts D"
    )


def choose_classes(
    foregrounds: Survey, left: LeftToPaste, train: Survey, wanted: Sequence[str], where: str
) -> tuple[str, ...]:
    """The classes to paste: those asked for, else all of which something is left and that stand in the real images.

    Args:
        foregrounds: what there is to cut out.
        left: what a run has of it.
        train: the real images.
        wanted: classes that the user asks for.
        where: what the user calls the foregrounds.

    Raises:
        DataError: a class of which nothing is left, or one that the real images do not have.
    """
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
        if name in left.losses.lost:
            raise DataError(
                f"--classes: expected classes of which something is left to paste in {where}, got {name!r} "
                f"({left.losses.why(name)}); leave it out"
            )
    stay = [name for name, amount in foregrounds.masks.items() if amount and name not in left.losses.lost]
    if not stay:
        step = left.clash or "look at them with `terse check`"
        why = left.losses.why(*foregrounds.masks)
        raise DataError(
            f"{where}: expected masks that a run can paste, got {sum(foregrounds.masks.values()):,} of which none is left ({why}); {step}"
        )
    chosen = tuple(dict.fromkeys(wanted or (name for name in stay if train.objects.get(name))))
    missing = [name for name in chosen if not train.objects.get(name)]
    if missing or not chosen:
        has = ", ".join([name for name, count in train.objects.items() if count][:20]) or "none"
        raise DataError(
            f"train: expected real images with {', '.join(missing) or 'a class that is pasted'}, got none; they have {has}"
        )
    return chosen
