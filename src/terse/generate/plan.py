"""Which classes each scene holds, fixed before anything is drawn, and the shards that scenes or rows are made in.

A scene is one composite before its blends: `all_blends` draws it in each. Fixed classes make quotas exact for any
number of workers.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
from jaxtyping import Int32, Int64

from terse import registry
from terse.errors import DataError
from terse.generate.settings import GenerateSettings
from terse.placements_table import rows_of
from terse.requests import Limits
from terse.sources.material import Material

__all__ = ["SceneClasses", "Shard", "planned_scenes", "shards_of_rows", "shards_of_scenes"]


@dataclass(frozen=True, slots=True)
class Shard:
    """The unit of work: scenes to propose, rows of a table to draw, or a split's real images to write."""

    number: int
    first_image: int
    first_scene: int = 0
    scenes: "SceneClasses | None" = field(default=None, compare=False)  # those to propose
    table: pa.Table | None = None
    split: str = ""  # of real images; composites have none
    rows: range = range(0)  # the real images, in the split's numbers

    @property
    def labels(self) -> tuple[tuple[int, ...], ...]:
        """Of each scene's objects."""
        return () if self.scenes is None else self.scenes.of(0, len(self.scenes))

    def __str__(self) -> str:
        return f"shard {self.number}"


@dataclass(frozen=True, slots=True)
class SceneClasses:
    """The labels of each scene's objects, flat; scene i has those from offsets[i] to offsets[i + 1]."""

    offsets: Int64[np.ndarray, " scenes_and_one"]
    labels: Int32[np.ndarray, " objects"]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def part(self, first: int, last: int) -> "SceneClasses":
        """These scenes alone, without a copy: millions of scenes take no more than two arrays."""
        offsets = self.offsets[first : last + 1]
        return SceneClasses(offsets, self.labels[offsets[0] : offsets[-1]])

    def of(self, first: int, last: int) -> tuple[tuple[int, ...], ...]:
        """The labels of these scenes."""
        at = (self.offsets[first : last + 1] - self.offsets[0]).tolist()
        return tuple(tuple(self.labels[low:high].tolist()) for low, high in pairwise(at))


def shards_of_scenes(settings: GenerateSettings, limits: Limits, material: Material, shard_images: int) -> list[Shard]:
    """The set's scenes, so many images a shard.

    Raises:
        DataError: as `planned_scenes`.
    """
    planned, copies = planned_scenes(settings, limits, material), limits.copies
    size = max(1, shard_images // copies)
    return [
        Shard(number, first * copies, first, planned.part(first, min(first + size, len(planned))))
        for number, first in enumerate(range(0, len(planned), size))
    ]


def planned_scenes(settings: GenerateSettings, limits: Limits, material: Material) -> SceneClasses:
    """The classes of as many scenes as `settings.count` images take.

    Raises:
        DataError: a quota of an unknown class, of one without foregrounds, that the copies cannot share equally, or that
            does not fit the scenes; a quota beside a count that ends in the middle of a scene's blends.
    """
    copies = limits.copies
    scenes = -(-settings.count // copies)
    if settings.quota and settings.count % copies:
        raise DataError(
            f"count: expected a multiple of {copies} beside `quota`, as `all_blends` draws every scene in {copies} blends, "
            f"got {settings.count}; give {scenes * copies}"
        )
    return _plan_classes(settings, limits, scenes, material, copies)


def shards_of_rows(table: pa.Table, shard_images: int) -> list[Shard]:
    """The images of a table of placements, so many a shard."""
    numbers = np.unique(table.column("image").to_numpy())
    groups = [numbers[first : first + shard_images] for first in range(0, len(numbers), shard_images)]
    return [Shard(k, int(group[0]), table=rows_of(table, group)) for k, group in enumerate(groups)]


def _plan_classes(
    settings: GenerateSettings, limits: Limits, scenes: int, material: Material, copies: int
) -> SceneClasses:
    """How many objects each scene gets, and of which classes, in the numbers of the foregrounds.

    Each scene is drawn so many times: quotas count the objects of all copies.
    """
    random = np.random.default_rng([settings.seed, 0x5107])
    low, high = limits.objects
    numbers = random.integers(low, high + 1, size=scenes)
    classes = material.foregrounds.classes
    of_set = np.isin(np.array(classes), material.classes)
    counts = np.where(of_set, np.bincount(material.foregrounds.labels, minlength=len(classes)), 0)
    wanted = {
        _class(name, classes, counts): _of_scenes(name, number, copies) for name, number in settings.quota.items()
    }
    apart = {classes.index(name) for name in limits.distractor_classes if name in classes}
    free = [label for label in np.flatnonzero(counts).tolist() if label not in apart and label not in wanted]
    total = sum(wanted.values())
    if not free:
        numbers = _fitted(numbers, total, (low, high), random, copies)
    elif total > numbers.sum():
        raise DataError(
            f"quota: expected at most {int(numbers.sum()) * copies} objects together, which {scenes * copies} images hold, "
            f"got {total * copies}; raise `count` or `objects`"
        )
    rest, per_class = int(numbers.sum()) - total, np.zeros(len(classes), dtype=np.int64)
    for place, label in enumerate(free):
        per_class[label] = rest // len(free) + (place < rest % len(free))
    for label, number in wanted.items():
        per_class[label] = number
    labels = np.repeat(np.arange(len(classes), dtype=np.int32), per_class)
    return SceneClasses(np.concatenate([[0], np.cumsum(numbers)]), random.permutation(labels))


def _class(name: str, classes: tuple[str, ...], counts: Int64[np.ndarray, " classes"]) -> int:
    if name not in classes:
        near = registry.nearest(name, classes)
        raise DataError(
            f"quota: expected a class of the foregrounds, got {name!r}{near or '; it has ' + ', '.join(classes)}"
        )
    label = classes.index(name)
    if not counts[label]:
        raise DataError(f"quota: expected a class with foregrounds, got {name!r}, which has none; give it some")
    return label


def _of_scenes(name: str, number: int, copies: int) -> int:
    """A class's quota in scenes that are drawn so many times each."""
    if number % copies:
        raise DataError(
            f"quota: expected multiples of {copies}, as `all_blends` draws every scene in {copies} blends, "
            f"got {name}={number}; give {number + -number % copies}"
        )
    return number // copies


def _fitted(
    numbers: Int64[np.ndarray, " scenes"],
    total: int,
    limits: tuple[int, int],
    random: np.random.Generator,
    copies: int,
) -> Int64[np.ndarray, " scenes"]:
    """Every class has a quota, so the scenes' numbers must sum to it: raise or lower some at random."""
    (low, high), images = limits, len(numbers) * copies
    if not low * len(numbers) <= total <= high * len(numbers):
        raise DataError(
            f"quota: expected {low * images} to {high * images} objects together, as {images} images of {low} to {high} "
            f"hold, got {total * copies}; change `quota`, `count` or `objects`"
        )
    numbers = numbers.copy()
    while (missing := total - int(numbers.sum())) != 0:
        room = np.flatnonzero(numbers < high if missing > 0 else numbers > low)
        chosen = random.permutation(room)[: abs(missing)]
        numbers[chosen] += np.sign(missing)
    return numbers
