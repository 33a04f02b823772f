"""Intervals and the verdict. Two kinds of chance are kept apart: which seed, and which test images.

The interval of record is Student's over the paired per-seed gains. But all seeds are tested on the same images,
so it speaks of these images only: where every run ends alike it has no width at all, however few the images.
By simulation it excludes a true zero in a third of all cases where seeds and images vary alike, in all cases
where only images do. Hence a second line, a bootstrap over the images, and the `overall` interval that counts
both kinds of chance and excludes a true zero in 5 %. A verdict needs the overall interval where it is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64
from pydantic import Field

from terse.errors import RunError
from terse.proof.results import GainFigures, Interval

__all__ = ["Gain", "bootstrap_interval", "cluster_interval", "overall_interval", "paired_gain", "student"]

_BOOTSTRAPS = 2000
_BLOCK = 1_000_000
_NOISE = 1e-12

Matrix = Float64[np.ndarray, "seeds units"]


class Gain(GainFigures):
    """One arm against the reference."""

    image_error: float = Field(default=0.0, exclude=True)
    """The standard error that more seeds do not lessen, that of the test images; not written."""

    @property
    def spread(self) -> float:
        """Standard deviation over seeds; 0 where they agree to the last few bits."""
        return _spread(self.per_seed)


def paired_gain(
    runs: Mapping[str, Mapping[int, float]],
    units: Mapping[str, Mapping[int, Sequence[float]]],
    arm: str,
    reference: str,
    confidence: float,
    halves: Mapping[str, Mapping[int, Sequence[float]]] | None = None,
) -> Gain:
    """The gain of one arm over another, seed by seed.

    `halves` are the metric on half-samples of the test's clusters, for the arms that have them.

    Raises:
        RunError: the arms share no seed, or their per-image results do not fit.

    Source: Student 1908; the second line over images is ours.
    """
    seeds = sorted(set(runs[arm]) & set(runs[reference]))
    if not seeds:
        raise RunError(
            f"arms: expected {arm} and {reference} to share a seed, got {sorted(runs[arm])} and "
            f"{sorted(runs[reference])}; run the missing ones with `terse prove --resume`"
        )
    gains = [runs[arm][seed] - runs[reference][seed] for seed in seeds]
    interval = student(gains, confidence)
    clusters = None
    if halves and arm in halves and reference in halves:
        both = np.array([np.subtract(halves[arm][seed], halves[reference][seed]) for seed in seeds], dtype=np.float64)
        clusters = cluster_interval(both, interval.mean, confidence)
    if arm not in units or reference not in units:
        return Gain(**dict(interval), per_seed=gains, images=None, overall=None, clusters=clusters)
    lengths = {len(units[name][seed]) for name in (arm, reference) for seed in seeds}
    if len(lengths) != 1:
        raise RunError(
            f"arms: expected {arm} and {reference} to be tested on the same images, got results of "
            f"{', '.join(map(str, sorted(lengths)))} images; start the proof again in an empty folder"
        )
    matrix = np.array([np.subtract(units[arm][seed], units[reference][seed]) for seed in seeds], dtype=np.float64)
    # Pseudo-values are only nearly centred on their metric; accuracy's are exactly.
    matrix += np.array(gains)[:, None] - matrix.mean(axis=1, keepdims=True)
    _, of_images, of_rest = _mean_squares(matrix)
    fixed = (of_images - of_rest if len(seeds) > 1 else of_images) / matrix.size
    return Gain(
        **dict(interval),
        per_seed=gains,
        images=bootstrap_interval(matrix, interval.mean, confidence),
        overall=overall_interval(matrix, interval.mean, confidence),
        clusters=clusters,
        image_error=math.sqrt(max(fixed, 0.0)),
    )


def cluster_interval(halves: Float64[np.ndarray, "seeds halves"], mean: float, confidence: float = 0.95) -> Interval:
    """Percentiles of the mean gain over half-samples of the test's clusters, seeds drawn again in each.

    Half-samples have another mean than the whole; the interval stands around the gain that was seen.

    Source: McCarthy 1966; Efron 1979 (seeds). Crossing both is ours.
    """
    seeds, count = halves.shape
    generator = np.random.default_rng(0)
    drawn = np.array(
        [halves[generator.integers(0, seeds, seeds), generator.integers(count)].mean() for _ in range(_BOOTSTRAPS)]
    )
    low, high = np.quantile(drawn - halves.mean(), [(1 - confidence) / 2, (1 + confidence) / 2])
    return _interval(mean) if low == high else Interval(mean=mean, low=mean + float(low), high=mean + float(high))


def student(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Student's interval of a mean; without bounds for one value, or where all are the same.

    Equal values are no sign of certainty: nothing was seen of the spread, as with one value.

    Source: Student 1908.
    """
    from scipy.stats import t

    mean = math.fsum(values) / len(values)
    spread = _spread(values)
    if spread == 0:
        return _interval(mean)
    half = float(t.ppf((1 + confidence) / 2, len(values) - 1)) * spread / math.sqrt(len(values))
    return _interval(mean, half, half)


def bootstrap_interval(gains: Matrix, mean: float, confidence: float = 0.95) -> Interval:
    """Percentiles of the mean gain when images are drawn again, the same ones in every seed and both arms.

    Source: Efron 1979.
    """
    column = gains.mean(axis=0) - gains.mean()
    if np.ptp(column) == 0:
        return _interval(mean)
    generator = np.random.default_rng(0)
    count = len(column)
    block = max(1, _BLOCK // count)  # draws at once: bounded memory at any number of images
    sizes = [min(block, _BOOTSTRAPS - start) for start in range(0, _BOOTSTRAPS, block)]
    drawn = np.concatenate([column[generator.integers(0, count, (size, count))].mean(axis=1) for size in sizes])
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return _interval(mean, -float(low), float(high))


def overall_interval(gains: Matrix, mean: float, confidence: float = 0.95) -> Interval:
    """The mean gain with both seeds and images as random: crossed effects without replication.

    The variance of the mean is (MS_seeds + MS_images - MS_rest) / (seeds images), its degrees of freedom
    Satterthwaite's, but no fewer than those of the least sure mean square: what is subtracted can leave hardly any,
    and an interval without end. That estimate is at times luckier than one effect alone allows (at two seeds mostly),
    so the interval is never narrower than either's own.

    Source: Satterthwaite 1946; Gaylor and Hopper 1969 (of differences); Scheffe 1959, chapter 7 (two-way random
    effects). The floors are ours.
    """
    seeds, images = gains.shape
    if seeds < 2 or images < 2:
        return _interval(mean)
    of_seeds, of_images, of_rest = squares = _mean_squares(gains)
    freedom = (seeds - 1, images - 1, (seeds - 1) * (images - 1))
    half = max(
        _half_width(of_seeds + of_images - of_rest, list(zip(squares, freedom, strict=True)), confidence),
        _half_width(of_seeds, [(of_seeds, seeds - 1)], confidence),
        _half_width(of_images, [(of_images, images - 1)], confidence),
    ) / math.sqrt(seeds * images)
    return _interval(mean, half, half) if half > 0 else _interval(mean)


def _mean_squares(gains: Matrix) -> tuple[float, float, float]:
    """Of seeds, images and the rest; below float noise they are 0."""
    seeds, images = gains.shape
    mean = gains.mean()
    rows, columns = gains.mean(axis=1) - mean, gains.mean(axis=0) - mean
    rest = gains - mean - rows[:, None] - columns[None, :]
    found = (
        images * float(rows @ rows) / max(seeds - 1, 1),
        seeds * float(columns @ columns) / max(images - 1, 1),
        float((rest**2).sum()) / max((seeds - 1) * (images - 1), 1),
    )
    noise = (_NOISE * float(np.abs(gains).max(initial=0))) ** 2 * images
    return tuple(value if value > noise else 0.0 for value in found)  # type: ignore[return-value]


def _half_width(square: float, parts: Sequence[tuple[float, int]], confidence: float) -> float:
    """Student's half width of a sum of mean squares, before the division by the number of values."""
    from scipy.stats import t

    if square <= 0:
        return 0.0
    freedom = square**2 / sum(part**2 / degrees for part, degrees in parts)
    freedom = max(freedom, min(degrees for _, degrees in parts))
    return float(t.ppf((1 + confidence) / 2, freedom)) * math.sqrt(square)


def _spread(values: Sequence[float]) -> float:
    """The standard deviation; 0 where the values differ by rounding only, or there is one."""
    if len(values) < 2 or max(values) - min(values) <= _NOISE * max(map(abs, values)):
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _interval(mean: float, below: float | None = None, above: float | None = None) -> Interval:
    low, high = None if below is None else mean - below, None if above is None else mean + above
    return Interval(mean=mean, low=low, high=high)
