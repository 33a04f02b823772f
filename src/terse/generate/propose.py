"""Candidates and what becomes of them: every random number is a function of (seed, scene, attempt).

The arm is asked for the classes that the plan wants, in fixed blocks of 64 scenes. A paste that breaks a limit is asked
for again, alone; a scene that still breaks one, or that is not as hard as it should be, is asked for anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Int64

from terse.compositing.occlusion import covered, shared_px
from terse.compositing.raster import Drawn, draw_mask, reach_px
from terse.draws import derive, integers, seeds_of
from terse.generate.draw import Drawing
from terse.generate.trained import SetPlayers
from terse.placements import Placements, Role
from terse.poses import RasterPose
from terse.protocols import Proposer
from terse.requests import Limits, Requests
from terse.synthesis.proposer import random_classes, random_occluders

__all__ = ["Proposals", "in_each_blend", "propose"]

_BLOCK = 64
_PASTE_TRIES = 20
_BARREN = 10
_FULL = 32


@dataclass(slots=True)
class Proposals:
    """Scenes that were accepted, in order, and what happened to the others."""

    accepted: Placements
    refused: dict[int, str] = field(default_factory=dict)  # why, by the scene's number
    hardness: list[float] = field(default_factory=list)  # of every candidate looked at


def propose(drawing: Drawing, players: SetPlayers, first: int, labels: Sequence[tuple[int, ...]]) -> Proposals:
    """A placement for each scene, from `first` on, that meets the limits and is as hard as it should be.

    What is refused is drawn again, at most `tries` times; a block in which ten rounds in a row accept nothing is
    given up at once, because no later one would.
    """
    result = Proposals(Placements.empty(drawing.poses.size))
    found = []
    for start in range(0, len(labels), _BLOCK):
        scenes, wanted, barren = np.arange(start, min(start + _BLOCK, len(labels))), labels[start : start + _BLOCK], 0
        refused: dict[int, str] = {}
        for attempt in range(drawing.settings.tries):
            accepted, refused = _round(drawing, players, first + scenes, wanted, attempt, result)
            found.append(accepted)
            scenes = np.array(sorted(refused), dtype=np.int64) - first
            wanted = [labels[scene] for scene in scenes.tolist()]
            barren = 0 if len(accepted) else barren + 1
            if not refused or (barren >= _BARREN and len(refused) >= min(_FULL, len(labels))):
                break
        result.refused |= refused
    if found:
        joined = Placements.join(found)
        result.accepted = joined.take(np.argsort(joined.number))
    return result


def in_each_blend(scenes: Placements, blends: Sequence[str]) -> Placements:
    """Every scene once in each blend, numbered as the images of a set."""
    every = scenes.take(np.repeat(np.arange(len(scenes)), len(blends)))
    number = every.number * len(blends) + np.tile(np.arange(len(blends)), len(scenes))
    return replace(every, number=number, blend=tuple(blends) * len(scenes))


def _round(
    drawing: Drawing,
    players: SetPlayers,
    scenes: Int64[np.ndarray, " b"],
    labels: Sequence[tuple[int, ...]],
    attempt: int,
    result: Proposals,
) -> tuple[Placements, dict[int, str]]:
    """One candidate for each scene: those accepted, and why the others were not."""
    requests = _requests(drawing, players.proposer.limits, scenes, labels, attempt)
    fit, refused = _within_limits(drawing, players.proposer, requests, scenes)
    window = drawing.settings.hardness
    if players.judge is None or not len(fit) or (window is None and not players.keeps_hard):
        return fit, refused
    verdict = players.judge(fit)
    hardness = verdict.hardness.cpu().double().numpy()
    result.hardness += hardness.tolist()
    tries = f"in {drawing.settings.tries} tries"
    if window is None:
        kept, why = verdict.hard.cpu().numpy(), f"no composite that is hard by the run's rule {tries}"
    else:
        low, high = window
        kept = (low <= hardness) & (hardness <= high)
        why = f"no composite with a hardness of {low:g} to {high:g} {tries}"
    refused |= dict.fromkeys(fit.number[~kept].tolist(), why)
    return replace(fit, hardness=hardness).take(np.flatnonzero(kept)), refused


def _requests(
    drawing: Drawing, limits: Limits, scenes: Int64[np.ndarray, " b"], labels: Sequence[tuple[int, ...]], attempt: int
) -> Requests:
    """A random background for each scene, the classes planned and random distractors."""
    material = drawing.material
    of_set = np.broadcast_to(seeds_of("set", drawing.settings.seed, count=1), len(scenes))
    seeds = derive(derive(of_set, scenes), attempt)
    background = integers(seeds, "background", len(material.backgrounds))
    sizes_px = _sizes_px(drawing, background)
    if material.square:  # poses are made for a square canvas, to which the image is squashed
        sizes_px = np.broadcast_to(sizes_px.min(axis=1, keepdims=True), sizes_px.shape)
    apart = np.array([material.foregrounds.classes.index(name) for name in limits.distractor_classes], dtype=np.int64)
    distractors = random_classes(seeds, "distractor", limits.distractors, apart) if limits.distractors[1] else ()
    return Requests(background, sizes_px, tuple(labels), seeds, distractors, random_occluders(seeds, limits))


def _sizes_px(drawing: Drawing, backgrounds: Int64[np.ndarray, " b"]) -> Int64[np.ndarray, "b 2"]:
    return np.array([drawing.canvas_px(number) for number in backgrounds.tolist()], dtype=np.int64).reshape(-1, 2)


def _within_limits(
    drawing: Drawing, proposer: Proposer, requests: Requests, scenes: Int64[np.ndarray, " b"]
) -> tuple[Placements, dict[int, str]]:
    """A candidate for each request in which every paste is within the limits, and why there is none."""
    proposed = proposer.propose(requests)
    candidates = replace(proposed, number=scenes, size_px=_sizes_px(drawing, requests.background))
    refused: dict[int, str] = {}
    trials = []
    objects = np.bincount(candidates.image_index[candidates.role == Role.OBJECT], minlength=len(scenes)).tolist()
    pastes = np.diff(candidates.offsets).tolist()
    for image, labels in enumerate(requests.labels):
        if objects[image] < len(labels):
            refused[int(scenes[image])] = f"no place for {len(labels)} objects"
        elif _limited(drawing, proposer.limits, int(candidates.background[image]), pastes[image]):
            trials.append(_Trial(drawing, proposer.limits, candidates, image))
    posed = drawing.posed(candidates) if trials else []
    foreground, pose, texture = candidates.foreground.copy(), candidates.pose.copy(), candidates.texture.copy()
    while trials:
        broken = [trial for trial in trials if trial.breaks(foreground, posed)]
        trials = [trial for trial in broken if trial.tries <= _PASTE_TRIES]
        refused |= {int(scenes[trial.image]): trial.why for trial in broken if trial.tries > _PASTE_TRIES}
        if trials:
            again, of_trial = _asked_again(drawing, proposer, requests, candidates, trials)
            rows = [trials[k].row for k in of_trial.tolist()]
            foreground[rows], pose[rows], texture[rows] = again.foreground, again.pose, again.texture
            for row, where in zip(rows, drawing.posed(again), strict=True):
                posed[row] = where
    settled = replace(candidates, foreground=foreground, pose=pose, texture=texture)
    return settled.take(np.flatnonzero(~np.isin(scenes, list(refused)))), refused


def _limited(drawing: Drawing, limits: Limits, background: int, pastes: int) -> bool:
    """Whether anything in an image of so many pastes can break a limit."""
    free = pastes == 1 and not drawing.material.backgrounds.holds_objects(background)
    return limits.max_truncation < 1 or (limits.max_overlap < 1 and not free)


def _asked_again(
    drawing: Drawing, proposer: Proposer, requests: Requests, candidates: Placements, trials: Sequence["_Trial"]
) -> tuple[Placements, Int64[np.ndarray, " k"]]:
    """Other pastes of the same classes instead of those that break a limit, and the trial that each is for."""
    images = np.array([trial.image for trial in trials], dtype=np.int64)
    rows = np.array([trial.row for trial in trials], dtype=np.int64)
    rank = rows - candidates.offsets[images]
    tries = np.array([trial.tries for trial in trials], dtype=np.int64)
    classes = [(int(label),) for label in drawing.material.foregrounds.labels[candidates.foreground[rows]]]
    labelled, occludes = (candidates.role[rows] == role for role in (Role.OBJECT, Role.OCCLUDER))
    asked = replace(
        requests.take(images),
        seeds=derive(derive(derive(requests.seeds[images], "again"), rank), tries),
        labels=tuple(one if is_object else () for one, is_object in zip(classes, labelled, strict=True)),
        distractors=tuple(() if given else one for one, given in zip(classes, labelled | occludes, strict=True)),
        occluders=tuple(occludes.astype(int).tolist()),
    )
    proposed = proposer.propose(asked)
    found = np.flatnonzero(np.diff(proposed.offsets))
    # Drawn in the scene's place: its size, and the seed of that paste.
    drawn = replace(proposed, size_px=candidates.size_px[images], seed=candidates.seed[images] + rank)
    return drawn.take(found).keep(np.searchsorted(drawn.take(found).image_index, np.arange(len(found)))), found


class _Trial:
    """One image whose pastes are laid down in z-order as long as they break no limit.

    Masks are drawn only where two reaches meet, or one meets the border.
    """

    def __init__(self, drawing: Drawing, limits: Limits, candidates: Placements, image: int) -> None:
        self.image = image
        self.row, self._end = int(candidates.offsets[image]), int(candidates.offsets[image + 1])
        self.tries = 0  # of the paste at `row`
        self.why = ""
        self._drawing, self._limits, self._size_px = drawing, limits, candidates.canvas_px(image)
        self._background = int(candidates.background[image])
        self._below: list[_Region] | None = None
        self._left: dict[int, tuple[Drawn, int]] = {}  # of regions that are partly covered, and its pixels

    def breaks(self, foreground: Int64[np.ndarray, " n"], posed: Sequence[RasterPose]) -> bool:
        """Lay down what can be; whether a paste, the one at `row`, breaks a limit."""
        while self.row < self._end:
            self.why = self._broken(int(foreground[self.row]), posed[self.row])
            if self.why:
                self.tries += 1
                return True
            self.row, self.tries = self.row + 1, 0
        return False

    def _broken(self, foreground: int, where: RasterPose) -> str:
        """Add the paste, or say which limit it breaks."""
        drawing, limits, (width, height) = self._drawing, self._limits, self._size_px
        sprite = drawing.material.sprite(foreground)
        reach = reach_px(sprite, where, (height, width))
        new = _Region(reach, lambda: draw_mask(sprite, where, (height, width), drawing.edges))
        if limits.max_truncation < 1 and (reach[0] < 0 or reach[1] < 0 or reach[2] > width or reach[3] > height):
            mask = new.mask
            if mask.seen_px < (1 - limits.max_truncation) * mask.whole_px or not mask.mask.size:
                return f"no pose with a truncation of at most {limits.max_truncation:g}"
        if limits.max_overlap >= 1:
            return ""
        if self._below is None:
            own = drawing.material.objects(self._background, self._size_px)
            self._below = [_Region(item.region.box_px, item.region) for item in own if not item.crowd]
        changed: dict[int, int] = {}
        for k, other in enumerate(self._below):
            if _meet(new.box, other.box):
                seen, pixels = self._left.get(k) or (other.mask, other.seen_px)
                changed[k] = pixels - shared_px(seen, new.mask)
                if changed[k] < (1 - limits.max_overlap) * other.seen_px:
                    return f"no pose with an overlap of at most {limits.max_overlap:g}"
        for k, pixels in changed.items():
            seen = self._left[k][0] if k in self._left else self._below[k].mask
            self._left[k] = covered(seen, [new.mask]), pixels
        self._below.append(new)
        return ""


class _Region:
    """A mask on the canvas, drawn when it is first asked for, and a box that holds it."""

    def __init__(self, box: tuple[float, float, float, float], mask: Drawn | Callable[[], Drawn]) -> None:
        self.box, self._mask = box, mask

    @property
    def mask(self) -> Drawn:
        """The mask."""
        if not isinstance(self._mask, Drawn):
            self._mask = self._mask()
        return self._mask

    @cached_property
    def seen_px(self) -> int:
        """Its pixels."""
        return self.mask.seen_px


def _meet(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
