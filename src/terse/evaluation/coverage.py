"""Do the placements cover the poses, or has the synthesizer collapsed to a few?

Every pose component becomes a histogram over its range; its entropy stands beside that of as many random poses
of the same family, so that a small sample is not mistaken for a narrow one.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int64

from terse.placements import Placements, Role
from terse.poses import PoseFamily
from terse.results import Coverage, PoseSpread

__all__ = ["collapse_alarms", "coverage"]

_BINS = 20
_EDGE = 0.01  # of the range, at each end
_SAME = 0.02  # of the range: the cell in which poses count as the same
_REFERENCE_SEED = 0


def coverage(placements: Placements, family: PoseFamily, class_of: Callable[[int], str] | None = None) -> Coverage:
    """How the placements' objects are spread over the family's poses, sizes, positions and sources.

    `class_of` tells the class of a foreground by its number: random poses are those of the same classes where these have
    ranges of their own.

    Source: ours.
    """
    objects = placements.role == Role.OBJECT
    pose = placements.pose[objects]
    if placements.image_pose.shape[1]:
        family, of_image = family.joint, placements.image_pose[placements.image_index[objects]]
        pose = np.concatenate([pose, of_image], axis=1)
    drawn = family.from_unit(family.random_unit(_reference(max(1, len(pose)), family.size)))
    if class_of is not None and family.named_classes and len(pose):
        names = [class_of(number) for number in placements.foreground[objects].tolist()]
        classes, labels = np.unique(names, return_inverse=True)
        drawn = family.of_classes(drawn, labels, classes.tolist())
    poses = {
        name: _component(low, high, pose[:, i] if len(pose) else np.zeros(0), drawn[:, i], wraps=i in family.wraps)
        for i, (name, (low, high)) in enumerate(zip(family.names, family.ranges, strict=True))
    }
    return Coverage(
        images=len(placements),
        objects=len(pose),
        entropy=min((part.entropy for part in poses.values() if part.high > part.low), default=1.0),
        poses=poses,
        size=_size(family, pose, drawn),
        position=_position(family, pose),
        foregrounds=len(np.unique(placements.foreground[objects])),
        backgrounds=len(np.unique(placements.background)),
        duplicates=_duplicates(placements),
        near_duplicates=_near_duplicates(_cut_out_and_blend(placements)[objects], pose, family),
    )


def collapse_alarms(
    seen: Coverage, *, min_entropy: float = 0.5, max_duplicates: float = 0.05, max_at_edge: float = 0.9
) -> list[str]:
    """A sentence for each sign of collapse; an empty list where there is none.

    Args:
        seen: of the newest cycle's harvest.
        min_entropy: of a pose component, over random's.
        max_duplicates: share of equal or nearly equal pastes.
        max_at_edge: share of poses at an end of their range.

    Source: ours.
    """
    alarms = []
    for name, part in seen.poses.items():
        if seen.objects < _BINS or part.high <= part.low:
            continue
        if part.at_edge > max_at_edge:
            alarms.append(
                f"{name}: {part.at_edge:.0%} of the poses lie at an end of the range; "
                "widen the range or lower the synthesizer's learning rate"
            )
        elif part.entropy < min_entropy:
            alarms.append(
                f"{name}: the poses cover {part.entropy:.0%} of what random ones do (entropy); "
                "raise objective.diversity or set objective.coverage"
            )
    repeated = max(seen.duplicates, seen.near_duplicates)
    if repeated > max_duplicates:
        alarms.append(f"{repeated:.0%} of the composites repeat an earlier one; add foregrounds or widen the poses")
    return alarms


def _reference(count: int, size: int) -> Float64[np.ndarray, "count size"]:
    """Uniform numbers, those of `torch.rand` with a seeded generator: pages keep their figures and need no torch."""
    bits = np.random.MT19937()
    bits._legacy_seeding(_REFERENCE_SEED)
    return (bits.random_raw(count * size).reshape(count, size) & 0xFFFFFF) / (1 << 24)


def _component(
    low: float, high: float, values: Float64[np.ndarray, " n"], drawn: Float64[np.ndarray, " m"], *, wraps: bool = False
) -> PoseSpread:
    """Of a number that wraps the mean is the direction, the spread is about it, and nothing lies at an end."""
    counts = _histogram(values, low, high)
    of_random = _entropy(_histogram(drawn, low, high))
    margin = _EDGE * (high - low)
    at_edge = float(((values <= low + margin) | (values >= high - margin)).mean()) if len(values) and not wraps else 0.0
    mean, spread = (float(values.mean()), float(values.std())) if len(values) else (0.0, 0.0)
    if wraps and len(values):
        turn = high - low
        mean = low + float(np.angle(np.exp(2j * np.pi * (values - low) / turn).mean()) / (2 * np.pi) % 1) * turn
        spread = float(np.sqrt(np.square((values - mean + turn / 2) % turn - turn / 2).mean()))
    return PoseSpread(
        low=float(low),
        high=float(high),
        counts=counts.tolist(),
        mean=mean,
        spread=spread,
        entropy=_entropy(counts) / of_random if of_random > 0 else 1.0,
        at_edge=at_edge,
    )


def _histogram(values: Float64[np.ndarray, " n"], low: float, high: float) -> Int64[np.ndarray, " bins"]:
    width = (high - low) or 1.0
    places = np.clip(((values - low) / width * _BINS).astype(np.int64), 0, _BINS - 1)
    return np.bincount(places, minlength=_BINS)


def _entropy(counts: Int64[np.ndarray, " bins"]) -> float:
    shares = counts[counts > 0] / max(1, counts.sum())
    return max(0.0, float(-(shares * np.log(shares)).sum()))


def _size(family: PoseFamily, pose: Float64[np.ndarray, "n k"], drawn: Float64[np.ndarray, "m k"]) -> PoseSpread | None:
    of_placements, of_random = family.relative_size(pose.reshape(-1, family.size)), family.relative_size(drawn)
    if of_placements is None or of_random is None:
        return None
    sizes, low, high = of_placements
    return _component(low, high, sizes, of_random[0])


def _position(family: PoseFamily, pose: Float64[np.ndarray, "n k"], cells: int = 8) -> list[list[int]] | None:
    place = family.position(pose.reshape(-1, family.size))
    if place is None:
        return None
    across, down = np.clip((place * cells).astype(np.int64), 0, cells - 1).T
    counts = np.bincount(down * cells + across, minlength=cells * cells).reshape(cells, cells)
    found: list[list[int]] = counts.tolist()
    return found


def _duplicates(placements: Placements) -> float:
    """Share of composites that draw the same as an earlier one."""
    if not len(placements):
        return 0.0
    starts = np.searchsorted(placements.image_index, np.arange(len(placements) + 1))
    seen: set[bytes] = set()
    for i in range(len(placements)):
        rows = slice(starts[i], starts[i + 1])
        key = (placements.foreground[rows], placements.pose[rows], placements.role[rows], placements.texture[rows])
        head = f"{placements.background[i]} {placements.blend[i]} ".encode() + placements.image_pose[i].tobytes()
        seen.add(head + b"|".join(np.ascontiguousarray(part).tobytes() for part in key))
    return 1 - len(seen) / len(placements)


def _cut_out_and_blend(placements: Placements) -> Int64[np.ndarray, "n 2"]:
    """One scene in several blends is no repetition: a detector is to learn that the rim means nothing."""
    blend = np.unique(np.array(placements.blend, dtype=str), return_inverse=True)[1].astype(np.int64)
    return np.column_stack([placements.foreground, blend[placements.image_index]])


def _near_duplicates(cut_out: Int64[np.ndarray, "n 2"], pose: Float64[np.ndarray, "n k"], family: PoseFamily) -> float:
    """Share of pastes whose cut-out occurs before in the same cell of the poses, blended alike.

    Cells, not distances between pairs: a collapsed set has a quadratic number of close pairs.
    """
    if not len(pose):
        return 0.0
    low, high = np.array(family.ranges, dtype=np.float64).T
    cells = np.round((pose - low) / np.where(high > low, high - low, 1.0) / _SAME).astype(np.int64)
    cells[:, list(family.wraps)] %= round(1 / _SAME)  # the ends of a full turn are one cell
    return 1 - len(np.unique(np.column_stack([cut_out, cells]), axis=0)) / len(pose)
