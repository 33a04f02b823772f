"""One arm with one seed: the recipe it runs, the start it shares with the others, and what it left behind."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from terse.errors import RecipeError, RunError, TerseError
from terse.folders import replacing, write_json
from terse.progress import Observer
from terse.proof.kept import keep
from terse.proof.results import Measured
from terse.protocols import trainable
from terse.recipe import Recipe
from terse.registry import kinds, nearest
from terse.run import finish, open_session
from terse.sources.run_data import RunData, run_data
from terse.synthesis.materials import Materials
from terse.synthesis.scene import SceneConfig
from terse.tasks.task import task_of
from terse.training.checkpoint import read_checkpoint, require_none_lost
from terse.training.cycle import train_start
from terse.training.metrics_log import FILE_NAME
from terse.training.session import Session
from terse.validation import join, overlay, parse_overrides, validate

__all__ = [
    "NO_ARM",
    "Arm",
    "ArmMaterial",
    "ProofJob",
    "arm_recipe",
    "material_key",
    "parse_arms",
    "run_arm",
    "run_start",
]

_MOST_COMPOSITES = 256
_MAY_DIFFER = (
    "synthesis",
    "poses",
    "edges",
    "artefacts",
    "objective",
    "cleanup",
    "fine_tune.real_per_synthetic",
    "data.affnist_train",
    "pool.passes_per_wanted",
)
"""Settings in which arms may differ; in all others they share the start, the data and the budget."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Arm:
    """A way to propose placements in a comparison: a name, and what it changes in the recipe.

    A name that is a kind of synthesizer (`random`) chooses that kind; any other keeps the recipe's.
    """

    name: str
    overrides: tuple[str, ...] = ()  # key=value, as on the command line

    @classmethod
    def parse(cls, text: str) -> Arm:
        """An arm as it is typed: `NAME` or `NAME:key=value[:key=value ...]`.

        Raises:
            RecipeError: a name that no folder can have, or an item without `=`.
        """
        name, *overrides = _split(text, ":")
        if not _NAME.fullmatch(name):
            raise RecipeError(f"arms: expected a name of letters, digits, - and _, got {name!r}")
        parse_overrides(overrides)
        return cls(name, tuple(overrides))

    def __str__(self) -> str:
        return ":".join([self.name, *self.overrides])


def parse_arms(text: str) -> list[str]:
    """Arms as they are typed on one line, apart by commas."""
    return [name.strip() for name in _split(text, ",") if name.strip()]


def _split(text: str, mark: str) -> list[str]:
    """Parts of a line; inside brackets the mark is a value's own."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if character == mark and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


NO_ARM = Arm("none")
"""Nothing is pasted: fine-tuning on real images alone."""


@dataclass(frozen=True, slots=True)
class ProofJob:
    """A unit of work of a proof: the start of one seed, or one arm of it."""

    arm: Arm | None  # None is the start, which all arms of the seed share
    seed: int
    folder: Path
    start: Path | None = None  # the folder of the start, for an arm
    kept: Path | None = None  # where its figures are kept beside the folder, for an arm
    followers: tuple[Arm, ...] = ()  # the arms that begin with it, for a start

    @property
    def name(self) -> str:
        """How a user knows it."""
        return f"{self.arm.name if self.arm else 'start'}, seed {self.seed}"

    def __str__(self) -> str:
        return self.name


def arm_recipe(recipe: Recipe, arm: Arm, seed: int) -> Recipe:
    """The recipe with an arm's settings and another seed; one thread, so that no number depends on what runs beside it.

    Raises:
        RecipeError: no such arm, the nearest one is named; or settings in which arms may not differ.
    """
    known = kinds("synthesis")
    if arm.name not in known and not arm.overrides:
        raise RecipeError(f"arms: expected some of {', '.join(known)}, got {arm.name!r}{nearest(arm.name, known)}")
    typed = (override.partition("=")[0] for override in arm.overrides)
    shared = next((key for key in typed if not f"{key}.".startswith(tuple(f"{own}." for own in _MAY_DIFFER))), None)
    if shared is not None:
        raise RecipeError(
            f"arms: {arm}: expected settings of {', '.join(_MAY_DIFFER)}, got {shared}, which all arms share"
        )
    settings = recipe.model_dump(mode="json")
    own = type(recipe.synthesis).model_fields
    for (
        name
    ) in SceneConfig.model_fields:  # rivals have numbers of objects of their own, unless the recipe says how many
        if name in own and getattr(recipe.synthesis, name) == own[name].default:
            settings["synthesis"].pop(name)
    if arm.name in known:
        settings = join(Recipe, settings, {"synthesis": {"kind": arm.name}})
    settings = overlay(Recipe, settings, arm.overrides)
    alone = {"threads": 1, "publish": None}  # the pools of all arms have the same names
    return validate(Recipe, join(Recipe, settings, {"seed": seed, "runtime": alone}), None)


class ArmMaterial:
    """What arms are made of: read once, and once more for arms whose own settings name other sources.

    Args:
        recipe: that the arms share.
        data: material made by the caller, which all of them take.
    """

    def __init__(self, recipe: Recipe, data: RunData | None = None, observer: Observer | None = None) -> None:
        self._data = data
        self._read: dict[str, RunData] = {}
        self.shared = self.of(recipe, observer)

    def of(self, settings: Recipe, observer: Observer | None = None) -> RunData:
        """The material of an arm with these settings."""
        if self._data is not None:
            return self._data
        key = material_key(settings)
        if key not in self._read:
            self._read[key] = run_data(settings, observer)
        return self._read[key]


def material_key(recipe: Recipe) -> str:
    """What of the settings in which arms may differ decides which material is read: equal texts share it."""
    return recipe.model_dump_json(include={"data", "cleanup"})


def run_start(recipe: Recipe, job: ProofJob, *, data: RunData | None = None, observer: Observer | None = None) -> None:
    """Train what all arms of a seed begin with, and measure it: a run without an arm, left after its start.

    Raises:
        Interrupted: the user asked to stop before the start was whole.
        RecipeError: an arm that follows cannot be built from this material; nothing was trained then.
    """
    if _begun(job.folder) and _started(job.folder):
        return
    settings = arm_recipe(recipe, NO_ARM, job.seed)
    session = open_session(settings, job.folder, resume=_begun(job.folder), data=data, observer=observer)
    trainable(session.players.target)
    _require_buildable(recipe, job, session.players.materials)
    train_start(session)


def _require_buildable(recipe: Recipe, job: ProofJob, materials: Materials) -> None:
    """Refuse now what would be refused when the arm's turn comes, perhaps hours later."""
    for arm in job.followers:
        with torch.random.fork_rng():
            try:
                arm_recipe(recipe, arm, job.seed).synthesis.build(materials)
            except TerseError as error:
                raise RecipeError(f"arms: {arm}: {error}") from None


def run_arm(recipe: Recipe, job: ProofJob, *, data: RunData | None = None, observer: Observer | None = None) -> None:
    """Run an arm from the start of its seed, or go on with it, and measure it.

    Raises:
        RunError: the start is gone.
    """
    finished = job.folder / "result.json"
    settings = arm_recipe(recipe, job.arm or NO_ARM, job.seed)
    if not finished.is_file():
        if not _started(job.folder):
            if _begun(job.folder):  # killed before the start was taken over
                require_none_lost(job.folder)
                shutil.rmtree(job.folder)
            _take_over(open_session(settings, job.folder, data=data), job)
        finish(open_session(settings, job.folder, resume=True, data=data, observer=observer))
    measured = job.folder / "measured.json"
    if not measured.is_file():
        found = _measure(settings, job, data)
        write_json(measured, found.to_json(), indent=None)
    if job.kept is not None:
        keep(job.kept, settings, job.folder)


def _begun(folder: Path) -> bool:
    return (folder / "recipe.yaml").is_file()


def _started(folder: Path) -> bool:
    """Does the folder's state lie behind the start?"""
    state = read_checkpoint(folder / "state")
    return state is not None and tuple(state[1]["position"]) >= (1, 0, 0)


def _take_over(session: Session, job: ProofJob) -> None:
    """Put a fresh session where the start was left: target, threshold, figures; its own synthesizer stays new."""
    state = read_checkpoint(job.start / "state") if job.start else None
    if state is None or job.start is None or session.folder is None:
        raise RunError(f"{job.start}: expected the start of seed {job.seed}, got none; run without `resume`")
    tensors, facts = state
    trainable(session.players.target).module.load_state_dict(tensors["target"])
    for number, reference in enumerate(getattr(session.players.rule, "references", None) or ()):
        reference.module.load_state_dict(tensors[f"reference {number}"])
    session.players.rule.restore(facts["rule"])
    kept = {key: value for key, value in facts.items() if key not in session.small_parts}
    session.facts = {"alarm_cycles": [0] * len(kept["alarms"]), **kept}
    session.position.restore([1, 0, 0])
    for name, put in (("start.pth", _link), (FILE_NAME, _copy)):
        if (job.start / name).is_file():
            put(job.start / name, session.folder / name)
    _copy(job.start / "target.pth", session.folder / "target.pth")
    session.save()


def _copy(old: Path, new: Path) -> None:
    """A copy that lasts through a power cut, as the state that is written after it does."""
    with old.open("rb") as whole, replacing(new) as stream:
        shutil.copyfileobj(whole, stream)


def _link(old: Path, new: Path) -> None:
    """A hard link instead of a copy, for a file that is not written again: a detector's weights need no copy in every arm."""
    try:
        os.link(old, new)
    except OSError:  # a file system without links
        _copy(old, new)


def _measure(recipe: Recipe, job: ProofJob, data: RunData | None) -> Measured:
    """What the proof needs beside the result: per-image results, hardness under the start, coverage."""
    from terse.evaluation.coverage import coverage
    from terse.evaluation.diversity import feature_diversity, pooled_features
    from terse.evaluation.hardness import baseline_hardness
    from terse.proof.proposed import proposed_hardness
    from terse.targets.weights import load_weights

    session = open_session(recipe, job.folder, resume=True, data=data)
    players, device = session.players, session.engine.device
    session.engine.use_threads(1)
    network = trainable(players.target).module
    load_weights(network, job.folder / "target.pth")
    judge = task_of(recipe)
    with session.engine.autocast():
        found = judge.details(players.target, players.test, device, recipe.test_groups)
    details: dict[str, Any] = {key: value for key, value in asdict(found).items() if value or key == "units"}
    if not len(session.pool):
        return Measured(**details, hardness=[], coverage=None)
    assert job.start is not None
    load_weights(network, job.start / "target.pth")
    placements = session.pool.placements
    with session.engine.autocast(), pooled_features(network) as features:
        hardness = baseline_hardness(
            players.target,
            placements,
            players.materials.render,
            judge.image_confidence,
            most=_MOST_COMPOSITES,
            device=device,
        )
        rows = features.of(len(hardness))
    proposes = proposed_hardness(session, judge.image_confidence)
    diversity = None if rows is None else feature_diversity(rows)
    materials = players.materials
    covered = coverage(placements, materials.poses, materials.class_of).model_copy(update={"diversity": diversity})
    return Measured(**details, hardness=hardness, coverage=covered, proposed=proposes)
