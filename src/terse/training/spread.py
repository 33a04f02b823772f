"""How a harvest is held wide: cells of class and pose, shares of two sources, and the farthest of what is hard.

Arrays only; what is asked for is `PoolConfig`'s.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Float64, Int64

from terse.draws import normal, seeds_of
from terse.evaluation.diversity import PooledFeatures, pooled_features
from terse.placements import Placements, Role
from terse.poses import PoseFamily
from terse.poses.space import laid_out
from terse.protocols import ForegroundBank

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "Mix",
    "even_shares",
    "farthest_points",
    "first_objects",
    "pose_cells",
    "projected",
    "rows_to_compare",
    "seen_by",
]

_PROJECTED = 64


class Mix:
    """Which of two sources is asked next, so that base draws and the network's have their shares of the harvest.

    Source: ours.
    """

    def __init__(self, shares: tuple[float, float], wanted: int) -> None:
        base = round(shares[0] * wanted)
        self.room = np.array([base, wanted - base], dtype=np.int64)  # base, learned
        self.looked_at = np.zeros(2, dtype=np.int64)
        self._shares = np.maximum(shares, 1e-9)

    def next(self) -> int:
        """0 for base draws, 1 for the network: of those that have room, the one that fewer candidates came from."""
        due = np.where(self.room > 0, self.looked_at / self._shares, np.inf)
        return int(due.argmin())

    def asked(self, source: int, candidates: int) -> None:
        """A source was asked for so many candidates."""
        self.looked_at[source] += candidates

    def took(self, source: int, rows: int) -> None:
        """So many of a source's were taken."""
        self.room[source] -= rows


def even_shares(
    found: Int64[np.ndarray, " classes"], total: int, most: Int64[np.ndarray, " classes"]
) -> Int64[np.ndarray, " classes"]:
    """So many of each class that they are `total`, as evenly as what was found and the most of each allow.

    Source: ours.
    """
    room, shares = np.minimum(found, most), np.zeros(len(found), dtype=np.int64)
    while (left := min(total, int(room.sum())) - int(shares.sum())) > 0:
        open_ = np.flatnonzero(shares < room)
        step = np.full(len(open_), max(1, left // len(open_)))
        shares[open_[:left]] += np.minimum(step, (room - shares)[open_])[:left]
    return shares


def first_objects(placements: Placements) -> Int64[np.ndarray, " b"]:
    """The row of each image's lowest object; its lowest paste where it has none.

    Source: ours.
    """
    rows = np.flatnonzero(placements.role == Role.OBJECT)
    found = placements.offsets[:-1].copy()
    images, first = np.unique(placements.image_index[rows], return_index=True)
    found[images] = rows[first]
    return found


def pose_cells(
    placements: Placements, family: PoseFamily, bins: int, foregrounds: ForegroundBank
) -> Int64[np.ndarray, " b"]:
    """The cell of each image's lowest object: every free number of its pose in one of so many bins of its class's range.

    Source: ours; cells as in quality-diversity search (Mouret and Clune 2015).
    """
    free = family.free
    unit = _unit_poses(placements, family, foregrounds)[:, free]
    place = np.clip((unit * bins).astype(np.int64), 0, bins - 1)
    cells: Int64[np.ndarray, " b"] = place @ bins ** np.arange(len(free))
    return cells


def farthest_points(rows: Float64[np.ndarray, "n d"], count: int) -> Int64[np.ndarray, " k"]:
    """So many rows, each the farthest from those before it; the first is the one nearest to the mean. Ascending.

    Source: Gonzalez 1985, a 2-approximation of the widest choice.
    """
    if count >= len(rows):
        return np.arange(len(rows))
    if not count:
        return np.zeros(0, dtype=np.int64)
    chosen, apart = [], np.full(len(rows), np.inf)
    following = int(((rows - rows.mean(axis=0)) ** 2).sum(axis=1).argmin())
    for _ in range(count):
        chosen.append(following)
        apart = np.minimum(apart, ((rows - rows[following]) ** 2).sum(axis=1))
        apart[following] = -1.0  # two equal rows may both be taken, one row never twice
        following = int(apart.argmax())
    return np.sort(np.array(chosen, dtype=np.int64))


def rows_to_compare(
    placements: Placements,
    family: PoseFamily,
    features: Float32[np.ndarray, "b d"] | None,
    foregrounds: ForegroundBank,
) -> Float64[np.ndarray, "b e"]:
    """Unit poses beside the target's features, each scaled to the same mean square: neither decides alone.

    Source: ours.
    """
    poses = laid_out(_unit_poses(placements, family, foregrounds), family.wraps)
    parts = [poses] if features is None else [poses, features.astype(np.float64)]
    scaled = []
    for part in parts:
        part = part - part.mean(axis=0)  # noqa: PLW2901
        scaled.append(part / max(1e-12, float(np.sqrt((part**2).sum(axis=1).mean()))))
    return np.concatenate(scaled, axis=1)


def _unit_poses(placements: Placements, family: PoseFamily, foregrounds: ForegroundBank) -> Float64[np.ndarray, "b k"]:
    """Of each image's lowest object, in the range of its class."""
    rows = first_objects(placements)
    labels = foregrounds.labels[placements.foreground[rows]]
    return np.asarray(family.unit_of_classes(placements.pose[rows], labels, foregrounds.classes), dtype=np.float64)


def projected(features: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n 64"]:
    """The features in 64 dimensions by a fixed random projection, which keeps distances nearly.

    Source: Johnson and Lindenstrauss 1984.
    """
    matrix = normal(seeds_of("features", count=features.shape[1]), "row", _PROJECTED) / np.sqrt(_PROJECTED)
    found: Float32[np.ndarray, "n 64"] = (features @ matrix).astype(np.float32)
    return found


@contextmanager
def seen_by(module: "nn.Module | None", *, wanted: bool) -> Iterator[PooledFeatures | None]:
    """The target's features of the images that it judges inside; None where they are not wanted, or it is a black box.

    Source: ours.
    """
    if module is None or not wanted:
        yield None
        return
    with pooled_features(module) as features:
        yield features
