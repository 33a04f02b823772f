"""Which points the objects of a source have: names and the lines between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Skeleton", "common_skeleton"]


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The keypoints of an object, the same for all of a source.

    Attributes:
        count: how many.
        names: of each, empty where the source names none.
        lines: pairs of points that are joined, counted from 1 as COCO does.
    """

    count: int
    names: tuple[str, ...] = ()
    lines: tuple[tuple[int, int], ...] = ()

    def mirrored(self) -> tuple[int, ...] | None:
        """For each point the one it becomes in a mirror, by `left` and `right` in the names; None without names."""
        if not self.names:
            return None
        place = {name: i for i, name in enumerate(self.names)}
        return tuple(place.get(_other_side(name), i) for i, name in enumerate(self.names))


def _other_side(name: str) -> str:
    for one, other in (("left", "right"), ("right", "left"), ("Left", "Right"), ("Right", "Left")):
        if one in name:
            return name.replace(one, other)
    return name


def common_skeleton(skeletons: Iterable[Skeleton | None]) -> tuple[Skeleton | None, str]:
    """The skeleton that several sources share, the first that has names, and a sentence where they share none."""
    found = [one for one in skeletons if one is not None]
    counts = sorted({one.count for one in found})
    if len(counts) > 1:
        return None, f"keypoints: left out, because the sources' objects have {' and '.join(map(str, counts))} of them"
    return next((one for one in found if one.names), found[0] if found else None), ""
