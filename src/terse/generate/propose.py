"""Candidates and what becomes of them: drawn from (seed, scene, attempt) alone, in fixed blocks of 64."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float64, Int64

from terse.compositing.occlusion import covered
from terse.compositing.raster import Drawn, draw_mask, reach_px
from terse.draws import derive
from terse.generate.scene import Scene
from terse.generate.trained import Trained
from terse.placements import Placements, Role
from terse.poses import RasterPose

__all__ = ["BLOCK", "Proposals", "propose"]

BLOCK = 64
_POSE_TRIES = 20
_BARREN = 10
_FULL = 32


@dataclass(slots=True)
class Proposals:
    """Scenes that were accepted, in order, and what happened to the others."""

    accepted: Placements
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
    result = Proposals(Placements.empty(scene.poses.size))
    found = [result.accepted]
    slots = [_Wanted(first + k, labels) for k, labels in enumerate(wanted)]
    for start in range(0, len(slots), BLOCK):
        pending, barren = slots[start : start + BLOCK], 0
        for attempt in range(scene.settings.tries):
            accepted, refused = _round(scene, trained, pending, attempt, result)
            found.append(accepted)
            pending = [slot for slot in pending if slot.number in refused]
            barren = 0 if len(accepted) else barren + 1
            if not pending or (barren >= _BARREN and len(pending) >= min(_FULL, len(slots))):
                break
        for slot in pending:
            result.refused[refused[slot.number]] += 1
    joined = Placements.join(found)
    result.accepted = joined.take(np.argsort(joined.number))
    return result


def _round(
    scene: Scene,
    trained: Trained,
    pending: Sequence[_Wanted],
    attempt: int,
    result: Proposals,
) -> tuple[Placements, dict[int, str]]:
    """One candidate for each pending scene: those accepted, and why the others were not."""
    candidates, randoms = _draw(scene, pending, attempt)
    if trained.poses_for is not None:
        candidates = _learned(trained, candidates, scene.settings.seed, attempt)
    refused: dict[int, str] = {}
    posed, pose, fitting = scene.posed(candidates), candidates.pose.copy(), []
    for image, (slot, random) in enumerate(zip(pending, randoms, strict=True)):
        one = candidates.take(np.array([image]))
        rows = slice(candidates.offsets[image], candidates.offsets[image + 1])
        settled = _settle(scene, one, posed[rows], None if trained.poses_for else random)
        if isinstance(settled, str):
            refused[slot.number] = settled
        else:
            pose[rows] = settled
            fitting.append(image)
    fit = replace(candidates, pose=pose).take(np.array(fitting, dtype=np.int64))
    if scene.settings.hardness is None or not len(fit):
        return fit, refused
    assert trained.hardness_of is not None
    hardness = trained.hardness_of(fit)
    result.hardness += hardness.tolist()
    low, high = scene.settings.hardness
    inside = (low <= hardness) & (hardness <= high)
    outside = f"no composite with a hardness of {low:g} to {high:g} in {scene.settings.tries} tries"
    refused |= dict.fromkeys(fit.number[~inside].tolist(), outside)
    return replace(fit, hardness=hardness).take(np.flatnonzero(inside)), refused


def _draw(scene: Scene, slots: Sequence[_Wanted], attempt: int) -> tuple[Placements, list[np.random.Generator]]:
    """A candidate for each scene, and each scene's random numbers from there on."""
    settings, material = scene.settings, scene.material
    apart = [material.classes.index(name) for name in settings.distractor_classes]
    randoms = [np.random.default_rng([settings.seed, slot.number, attempt]) for slot in slots]
    backgrounds, blends, seeds, counts, roles, cuts, poses = [], [], [], [], [], [], []
    for slot, random in zip(slots, randoms, strict=True):
        backgrounds.append(int(random.integers(len(material.backgrounds.keys))))
        blends.append(settings.blends[int(random.integers(len(settings.blends)))])
        seeds.append(int(random.integers(2**31)))
        pastes = [(Role.OBJECT, label) for label in slot.labels]
        for _ in range(int(random.integers(settings.distractors[0], settings.distractors[1] + 1))):
            place = int(random.integers(len(pastes) + 1))
            pastes.insert(place, (Role.DISTRACTOR, apart[int(random.integers(len(apart)))]))
        poses.append(_uniform(scene, len(pastes), random))
        for role, label in pastes:
            choice = _of_class(material.foregrounds.labels, label)
            roles.append(int(role))
            cuts.append(int(choice[int(random.integers(len(choice)))]))
        counts.append(len(pastes))
    drawn = Placements(
        background=np.array(backgrounds, dtype=np.int64),
        image_index=np.repeat(np.arange(len(slots)), counts),
        foreground=np.array(cuts, dtype=np.int64),
        pose=np.concatenate(poses),
        role=np.array(roles, dtype=np.int64),
        texture=np.full(len(cuts), -1, dtype=np.int64),
        blend=tuple(blends),
        seed=np.array(seeds, dtype=np.int64),
        number=np.array([slot.number for slot in slots], dtype=np.int64),
        size_px=np.array([scene.canvas_px(background) for background in backgrounds], dtype=np.int64),
    )
    return drawn, randoms


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


def _learned(trained: Trained, candidates: Placements, seed: int, attempt: int) -> Placements:
    """The candidates under the synthesizer's poses; its noise is a function of (seed, scene, attempt)."""
    assert trained.poses_for is not None
    index = candidates.image_index
    scenes = derive(derive(np.full(len(candidates), seed, dtype=np.uint64), candidates.number), attempt)
    seeds = derive(scenes[index], np.arange(len(index)) - candidates.offsets[index])
    fore, back = candidates.foreground, candidates.background[index]
    blocks = [slice(start, start + BLOCK) for start in range(0, len(fore), BLOCK)]
    poses = [np.round(trained.poses_for(fore[block], back[block], seeds[block]), 5) for block in blocks]
    return replace(candidates, pose=np.concatenate(poses)) if poses else candidates


def _settle(
    scene: Scene, one: Placements, posed: Sequence[RasterPose], random: np.random.Generator | None
) -> Float64[np.ndarray, "n k"] | str:
    """The image's poses with every paste within the limits, or why there are none. Uniform poses are drawn again."""
    limits, background = scene.settings, int(one.background[0])
    alone = len(one.foreground) == 1 and not scene.material.backgrounds.holds_objects(background)
    if limits.max_truncation >= 1 and (limits.max_overlap >= 1 or alone):
        return one.pose
    below = _Below(scene, background, one.canvas_px(0))
    pose = one.pose.copy()
    for z, foreground in enumerate(one.foreground.tolist()):
        broken = below.place(foreground, posed[z])
        for _ in range(_POSE_TRIES if broken and random is not None else 0):
            assert random is not None
            again = _uniform(scene, 1, random)
            paste = replace(one.keep(np.array([z])), pose=again, seed=one.seed + z)
            broken = below.place(foreground, scene.posed(paste)[0])
            if not broken:
                pose[z] = again[0]
                break
        if broken:
            return broken
    return pose


class _Below:
    """What lies on the canvas so far. Masks are drawn only where two reaches meet, or one meets the border."""

    def __init__(self, scene: Scene, background: int, size_px: tuple[int, int]) -> None:
        self._scene, self._background, self._size_px = scene, background, size_px
        self._layers: list[_Layer] | None = None
        self._hidden: dict[int, Drawn] = {}

    def place(self, foreground: int, where: RasterPose) -> str:
        """Add the paste, or say which limit it breaks."""
        scene, limits, (width, height) = self._scene, self._scene.settings, self._size_px
        sprite = scene.material.sprite(foreground)
        x0, y0, x1, y1 = reach_px(sprite, where, (height, width))
        layer = _Layer(
            (x0, y0, x1, y1),
            lambda: draw_mask(sprite, where, (height, width), scene.edges),
        )
        if limits.max_truncation < 1 and (x0 < 0 or y0 < 0 or x1 > width or y1 > height):
            region = layer.region
            if region.seen_px < (1 - limits.max_truncation) * region.whole_px or not region.mask.size:
                return f"no pose with a truncation of at most {limits.max_truncation:g}"
        if limits.max_overlap >= 1:
            return ""
        if self._layers is None:
            own = scene.material.objects(self._background, self._size_px)
            self._layers = [_Layer.of(item.region) for item in own if not item.crowd]
        changed: dict[int, Drawn] = {}
        for k, other in enumerate(self._layers):
            if not _meet(layer.box, other.box):
                continue
            before = self._hidden.get(k, other.region)
            seen = covered(before, [layer.region])
            if seen.seen_px < (1 - limits.max_overlap) * other.region.seen_px:
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
        layer = _Layer(region.box_px, None)
        layer._region = region
        return layer

    @property
    def region(self) -> Drawn:
        """The mask."""
        if self._region is None:
            self._region = self._draw()  # type: ignore[operator]
        return self._region


def _meet(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
