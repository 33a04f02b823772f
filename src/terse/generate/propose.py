"""Candidates and what becomes of them: drawn from (seed, scene, attempt) alone, in fixed blocks of 64."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float64, Int64

from terse.compositing.occlusion import covered
from terse.compositing.raster import Drawn, draw_mask, reach_px
from terse.generate.planned import Paste, Planned, as_placements
from terse.generate.scene import Scene
from terse.generate.trained import Trained
from terse.placements import Role
from terse.poses import RasterPose

__all__ = ["BLOCK", "Proposals", "propose"]

BLOCK = 64
_POSE_TRIES = 20
_BARREN = 10
_FULL = 32


@dataclass(slots=True)
class Proposals:
    """Scenes that were accepted, in order, and what happened to the others."""

    accepted: list[Planned]
    refused: Counter[str] = field(default_factory=Counter)
    hardness: list[float] = field(default_factory=list)  # of every candidate looked at


@dataclass(frozen=True, slots=True)
class _Wanted:
    number: int
    labels: tuple[int, ...]


def propose(scene: Scene, trained: Trained, first: int, wanted: Sequence[tuple[int, ...]]) -> Proposals:
    """A placement for each scene, from `first` on, that meets the limits and the hardness window.

    What is refused is drawn again, at most `tries` times; a block in which ten rounds in a row accept nothing is
    given up at once, because no later one would.
    """
    found: dict[int, Planned] = {}
    result = Proposals([])
    slots = [_Wanted(first + k, labels) for k, labels in enumerate(wanted)]
    for start in range(0, len(slots), BLOCK):
        pending, barren = slots[start : start + BLOCK], 0
        for attempt in range(scene.settings.tries):
            accepted, refused = _round(scene, trained, pending, attempt, result)
            found.update({planned.number: planned for planned in accepted})
            left = {planned.number for planned in accepted}
            pending = [slot for slot in pending if slot.number not in left]
            barren = 0 if accepted else barren + 1
            if not pending or (barren >= _BARREN and len(pending) >= min(_FULL, len(slots))):
                break
        for slot in pending:
            result.refused[refused[slot.number]] += 1
    result.accepted = [found[number] for number in sorted(found)]
    return result


def _round(
    scene: Scene,
    trained: Trained,
    pending: Sequence[_Wanted],
    attempt: int,
    result: Proposals,
) -> tuple[list[Planned], dict[int, str]]:
    """One candidate for each pending scene: those accepted, and why the others were not."""
    drawn = [_draw(scene, slot, attempt) for slot in pending]
    candidates = [planned for planned, _ in drawn]
    if trained.poses_for is not None:
        candidates = _learned(trained, candidates, scene.settings.seed + attempt)
    refused: dict[int, str] = {}
    fitting = []
    for planned, own, (_, random) in zip(candidates, scene.posed(candidates), drawn, strict=True):
        settled = _settle(scene, planned, own, None if trained.poses_for else random)
        if isinstance(settled, str):
            refused[planned.number] = settled
        else:
            fitting.append(settled)
    if scene.settings.hardness is None or not fitting:
        return fitting, refused
    assert trained.hardness_of is not None
    hardness = trained.hardness_of(as_placements(fitting, scene.poses.size))
    result.hardness += hardness.tolist()
    low, high = scene.settings.hardness
    accepted = []
    for planned, value in zip(fitting, hardness.tolist(), strict=True):
        if low <= value <= high:
            accepted.append(replace(planned, hardness=value))
        else:
            refused[planned.number] = (
                f"no composite with a hardness of {low:g} to {high:g} in {scene.settings.tries} tries"
            )
    return accepted, refused


def _draw(scene: Scene, slot: _Wanted, attempt: int) -> tuple[Planned, np.random.Generator]:
    settings, material = scene.settings, scene.material
    random = np.random.default_rng([settings.seed, slot.number, attempt])
    background = int(random.integers(len(material.background_keys)))
    blend = settings.blends[int(random.integers(len(settings.blends)))]
    seed = int(random.integers(2**31))
    roles = [(Role.OBJECT, label) for label in slot.labels]
    apart = [material.classes.index(name) for name in settings.distractor_classes]
    for _ in range(int(random.integers(settings.distractors[0], settings.distractors[1] + 1))):
        roles.insert(
            int(random.integers(len(roles) + 1)),
            (Role.DISTRACTOR, apart[int(random.integers(len(apart)))]),
        )
    poses = _uniform(scene, len(roles), random)
    pastes = []
    for (role, label), pose in zip(roles, poses, strict=True):
        choice = _of_class(material.foreground_labels, label)
        pastes.append(Paste(int(choice[int(random.integers(len(choice)))]), pose, role))
    return Planned(slot.number, background, scene.canvas_px(background), blend, seed, tuple(pastes)), random


def _uniform(scene: Scene, count: int, random: np.random.Generator) -> Float64[np.ndarray, "n k"]:
    """The baseline: uniform in the family's ranges."""
    low, high = np.array(scene.poses.ranges, dtype=np.float64).T
    poses: Float64[np.ndarray, "n k"] = np.round(low + (high - low) * random.random((count, len(low))), 5)
    return poses


_classes: dict[int, tuple[Int64[np.ndarray, " n"], dict[int, Int64[np.ndarray, " n"]]]] = {}


def _of_class(labels: Int64[np.ndarray, " n"], label: int) -> Int64[np.ndarray, " n"]:
    """The foregrounds of a class, looked up once."""
    known = _classes.get(id(labels))
    if known is None or known[0] is not labels:
        _classes.clear()
        known = _classes[id(labels)] = (labels, {})
    if label not in known[1]:
        known[1][label] = np.flatnonzero(labels == label)
    return known[1][label]


def _learned(trained: Trained, candidates: Sequence[Planned], seed: int) -> list[Planned]:
    assert trained.poses_for is not None
    pairs = [(paste.foreground, planned.background) for planned in candidates for paste in planned.pastes]
    poses = []
    for start in range(0, len(pairs), BLOCK):
        fore, back = np.array(pairs[start : start + BLOCK], dtype=np.int64).T
        poses += list(
            np.round(
                trained.poses_for(np.ascontiguousarray(fore), np.ascontiguousarray(back), seed),
                5,
            )
        )
    given = iter(poses)
    return [
        replace(
            planned,
            pastes=tuple(replace(paste, pose=next(given)) for paste in planned.pastes),
        )
        for planned in candidates
    ]


def _settle(
    scene: Scene,
    planned: Planned,
    posed: Sequence[RasterPose],
    random: np.random.Generator | None,
) -> Planned | str:
    """The candidate with every paste within the limits, or why there is none. Uniform poses are drawn again."""
    limits = scene.settings
    alone = len(planned.pastes) == 1 and not scene.material.holds_objects(planned.background)
    if limits.max_truncation >= 1 and (limits.max_overlap >= 1 or alone):
        return planned
    below = _Below(scene, planned)
    pastes = list(planned.pastes)
    for z, (paste, where) in enumerate(zip(planned.pastes, posed, strict=True)):
        broken = below.place(paste, where)
        for _ in range(_POSE_TRIES if broken and random is not None else 0):
            assert random is not None
            again = replace(paste, pose=_uniform(scene, 1, random)[0])
            broken = below.place(again, scene.posed([replace(planned, pastes=(again,))])[0][0])
            if not broken:
                pastes[z] = again
                break
        if broken:
            return broken
    return replace(planned, pastes=tuple(pastes))


class _Below:
    """What lies on the canvas so far. Masks are drawn only where two reaches meet, or one meets the border."""

    def __init__(self, scene: Scene, planned: Planned) -> None:
        self._scene, self._planned = scene, planned
        self._layers: list[_Layer] | None = None
        self._hidden: dict[int, Drawn] = {}

    def place(self, paste: Paste, where: RasterPose) -> str:
        """Add the paste, or say which limit it breaks."""
        scene, limits, (width, height) = (
            self._scene,
            self._scene.settings,
            self._planned.size_px,
        )
        sprite = scene.material.sprite(paste.foreground)
        x0, y0, x1, y1 = reach_px(sprite, where, (height, width))
        layer = _Layer(
            (x0, y0, x1, y1),
            lambda: draw_mask(sprite, where, (height, width), scene.edges),
        )
        if limits.max_truncation < 1 and (x0 < 0 or y0 < 0 or x1 > width or y1 > height):
            region = layer.region
            if cv_count(region) < (1 - limits.max_truncation) * region.whole_px or not region.mask.size:
                return f"no pose with a truncation of at most {limits.max_truncation:g}"
        if limits.max_overlap >= 1:
            return ""
        if self._layers is None:
            own = scene.material.objects(self._planned.background, self._planned.size_px)
            self._layers = [_Layer.of(item.region) for item in own if not item.crowd]
        changed: dict[int, Drawn] = {}
        for k, other in enumerate(self._layers):
            if not _meet(layer.box, other.box):
                continue
            before = self._hidden.get(k, other.region)
            seen = covered(before, [layer.region])
            if cv_count(seen) < (1 - limits.max_overlap) * cv_count(other.region):
                return f"no pose with an overlap of at most {limits.max_overlap:g}"
            changed[k] = seen
        self._hidden.update(changed)
        self._layers.append(layer)
        return ""


class _Layer:
    """A region that is drawn when it is first asked for."""

    def __init__(self, box: tuple[float, float, float, float], draw: "object") -> None:
        self.box, self._draw = box, draw
        self._region: Drawn | None = None

    @staticmethod
    def of(region: Drawn) -> "_Layer":
        """One that is drawn already."""
        height, width = region.mask.shape
        layer = _Layer((region.left, region.top, region.left + width, region.top + height), None)
        layer._region = region
        return layer

    @property
    def region(self) -> Drawn:
        """The mask."""
        if self._region is None:
            self._region = self._draw()  # type: ignore[operator]
        return self._region


def cv_count(region: Drawn) -> int:
    """Pixels of the mask."""
    return int(np.count_nonzero(region.mask))


def _meet(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
