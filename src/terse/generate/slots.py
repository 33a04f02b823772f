"""Which classes each image holds, fixed before anything is drawn: so quotas are exact for any number of workers."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64

from terse import registry
from terse.errors import DataError
from terse.generate.settings import GenerateSettings

__all__ = ["Slots", "plan_slots"]


@dataclass(frozen=True, slots=True)
class Slots:
    """The labels of each scene's objects, flat; scene i has those from offsets[i] to offsets[i + 1]."""

    offsets: Int64[np.ndarray, " scenes_and_one"]
    labels: Int32[np.ndarray, " objects"]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def of(self, first: int, last: int) -> list[tuple[int, ...]]:
        """The labels of these scenes."""
        return [tuple(self.labels[self.offsets[i] : self.offsets[i + 1]].tolist()) for i in range(first, last)]


def plan_slots(
    settings: GenerateSettings,
    scenes: int,
    classes: tuple[str, ...],
    counts: Int64[np.ndarray, " classes"],
) -> Slots:
    """How many objects each scene gets, and of which classes.

    Args:
        settings: the numbers wanted.
        scenes: how many.
        classes: the set's.
        counts: foregrounds that each class has.

    Raises:
        DataError: a quota of an unknown class, of one without foregrounds, or that does not fit the scenes.
    """
    random = np.random.default_rng([settings.seed, 0x5107])
    low, high = settings.objects
    numbers = random.integers(low, high + 1, size=scenes)
    wanted = {_class(name, classes, counts): number for name, number in settings.quota.items()}
    apart = {classes.index(name) for name in settings.distractor_classes if name in classes}
    free = [label for label in np.flatnonzero(counts).tolist() if label not in apart and label not in wanted]
    total = sum(wanted.values())
    if not free:
        numbers = _fitted(numbers, total, (low, high), random)
    elif total > numbers.sum():
        raise DataError(
            f"quota: expected at most {int(numbers.sum())} objects together, which {scenes} images hold, got {total}; "
            "raise --count or --objects"
        )
    rest, per_class = int(numbers.sum()) - total, np.zeros(len(classes), dtype=np.int64)
    for place, label in enumerate(free):
        per_class[label] = rest // len(free) + (place < rest % len(free))
    for label, number in wanted.items():
        per_class[label] = number
    labels = np.repeat(np.arange(len(classes), dtype=np.int32), per_class)
    return Slots(np.concatenate([[0], np.cumsum(numbers)]), random.permutation(labels))


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


def _fitted(
    numbers: Int64[np.ndarray, " scenes"],
    total: int,
    limits: tuple[int, int],
    random: np.random.Generator,
) -> Int64[np.ndarray, " scenes"]:
    """Every class has a quota, so the scenes' numbers must sum to it: raise or lower some at random."""
    low, high = limits
    if not low * len(numbers) <= total <= high * len(numbers):
        raise DataError(
            f"quota: expected {low * len(numbers)} to {high * len(numbers)} objects together, "
            f"as {len(numbers)} images of {low} to {high} hold, got {total}; change --quota, --count or --objects"
        )
    numbers = numbers.copy()
    while (missing := total - int(numbers.sum())) != 0:
        room = np.flatnonzero(numbers < high if missing > 0 else numbers > low)
        chosen = random.permutation(room)[: abs(missing)]
        numbers[chosen] += np.sign(missing)
    return numbers
