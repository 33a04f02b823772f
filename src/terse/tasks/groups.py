"""What the test images' own fields tell a proof: figures of each value, and the primary metric on half-samples of clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from terse.errors import RecipeError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Int64

    from terse.protocols import RealImages
    from terse.recipe_parts import GroupsConfig
    from terse.types import Truth

__all__ = ["Figures", "by_value", "fields_of", "half_samples", "named_by"]

_HALF_SAMPLES = 128
Figures = dict[str, float | None]


def named_by(groups: GroupsConfig) -> tuple[str, ...]:
    """The fields that the settings name."""
    return tuple(dict.fromkeys((*groups.by, *([groups.clusters] if groups.clusters else ()))))


def fields_of(images: RealImages, groups: GroupsConfig) -> dict[str, Sequence[str | None]]:
    """What the test images' source says of each image in the fields that are named.

    Raises:
        RecipeError: none of them has such a field.
    """
    found: dict[str, Sequence[str | None]] = {}
    for name in named_by(groups):
        found[name] = images.field(name) if hasattr(images, "field") else ()
        if not any(found[name]):
            raise RecipeError(f"test_groups: expected a field of the test images, got {name!r}, which none of them has")
    return found


def by_value(
    values: Sequence[str | None], figures: Callable[[Int64[np.ndarray, " rows"]], Figures]
) -> dict[str, Figures]:
    """The figures of the images of each value; images without one are in none."""
    import numpy as np

    known = sorted({value for value in values if value is not None})
    return {value: figures(np.array([i for i, own in enumerate(values) if own == value])) for value in known}


def half_samples(
    metric: Callable[[Bool[np.ndarray, " images"]], float],
    truth: Truth,
    clusters: Sequence[str | None],
    count: int = _HALF_SAMPLES,
) -> list[float]:
    """A metric of some of the images on random half-samples of clusters: of each class's clusters one half stands for all.

    A cluster (a video) belongs to the class that most of its objects have; images without a cluster are in none.
    The spread of these values is the standard error over clusters; a bootstrap of two would be too narrow by the square
    root of two. A class with one cluster adds nothing to it. The choice depends on the clusters alone: equal for all targets.

    Source: McCarthy 1966 (half-samples of two units a stratum); of other numbers ours.
    """
    import numpy as np

    names = np.array([name or "" for name in clusters])
    of_class: dict[int, list[str]] = {}
    for name, label in _most_frequent(truth, names):
        of_class.setdefault(label, []).append(name)
    random, values = np.random.default_rng(0), []
    for _ in range(count if of_class else 0):
        halves = [random.permutation(own)[: _half_of(len(own), random)] for _, own in sorted(of_class.items())]
        values.append(metric(np.isin(names, np.concatenate(halves))))
    return values


def _half_of(count: int, random: np.random.Generator) -> int:
    """One half of so many; of an odd number the smaller or the larger one, each as often as makes the spread the standard error.

    A mean of m of n has the variance (1 / m - 1 / n) times that of one: 1 / n where m is a half, and in the mean over both.
    """
    if count < 2 or count % 2 == 0:
        return max(1, count // 2)
    return count // 2 + int(random.random() >= (count - 1) / (2 * count))


def _most_frequent(truth: Truth, names: np.ndarray) -> Iterator[tuple[str, int]]:
    """Each cluster with objects, and the class of most of them."""
    import numpy as np

    owner = names[truth.image_index.cpu().numpy()]
    labels, counted = truth.labels.cpu().numpy(), ~truth.ignore.cpu().numpy()
    for name in sorted({*names.tolist()} - {""}):
        own = labels[counted & (owner == name)]
        if len(own):
            yield name, int(np.bincount(own).argmax())
