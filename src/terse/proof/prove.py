"""`prove`: arms at equal budgets, paired by seed, and a verdict."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from terse.errors import RecipeError, RunError
from terse.folders import claim, locked, taken_back, write_atomically, write_json
from terse.paper_numbers import arms_of
from terse.pictures.page_folder import write_page
from terse.progress import Observer, heard_by
from terse.proof.arms import NO_ARM, Arm, ProofJob, arm_recipe, material_key
from terse.proof.budgets import with_bounds
from terse.proof.kept import is_kept, take_kept
from terse.proof.pictures import proof_pictures
from terse.proof.results import read_proof
from terse.proof.summary import coverage_of, read_arms, summarise
from terse.proof.verdict import arm_order, comparison
from terse.proof.workers import run_jobs
from terse.recipe import NOT_COMPARED, Recipe, as_recipe, begun_with, dump_recipe, load_recipe
from terse.results import Shortcut, read_record
from terse.sources.run_data import RunData, made_by_caller
from terse.tasks.task import task_of
from terse.training.engine import process_kept
from terse.trust import trusting
from terse.validation import join, validate
from terse.workers import usable_cores

__all__ = ["arms_to_run", "compute_page", "prove"]

_FREE_BYTES = 64 << 20


@process_kept()
def prove(
    recipe: Recipe | str | Path,
    overrides: Sequence[str] = (),
    *,
    out: str | Path,
    arms: Sequence[str | Arm] | None = None,
    seeds: int = 5,
    treatment: str | None = None,
    reference: str | None = None,
    worth: float = 0.0,
    workers: int | None = None,
    resume: bool = False,
    audit: bool = True,
    kept: str | Path | None = None,
    passes: Sequence[float] = (),
    data: RunData | None = None,
    observer: Observer | None = None,
    trust: bool = False,
) -> dict[str, Any]:
    """Run every arm with every seed, all from the same starts, and judge; the object that `result.json` holds.

    Arms of a seed share its trained start, real images and their order, the number of synthetic images and of
    fine-tuning steps. The figures are of test images, which neither trained nor chose a model.

    Args:
        recipe: a Recipe, a built-in name or a file; its own `synthesis.kind` is one of the arms at most.
        overrides: `key=value`, as on the command line.
        out: folder of the proof.
        arms: kinds of synthesizers, or `NAME:key=value` for the recipe's own with other settings, such as
            `learned-no-d:synthesis.discriminator=false`, or a table of the paper (`table_2`, `table_3`, `table_4`) for its columns;
            by default the task's: all six for detectors, none, random, mined and learned for classifiers; learned where the
            recipe's own arm is learned, and so says how.
        seeds: how many, from the recipe's seed on; fewer than five give no no-go, one gives no verdict.
        treatment: the arm in question; by default learned where it is run, and of the default arms the recipe's own.
        reference: what it is compared with; none where it is run.
        worth: the smallest gain worth having.
        workers: processes side by side; by default one a core, and 0 works in this one. No number depends on it.
        resume: go on with the proof that `out` holds, also with more arms or seeds.
        audit: for tasks that ask for it (detection): let a probe look for pasted objects by their rims, in every blend that the arms use.
        kept: a folder of finished runs as small files, `ARM/seed-N.json`: what it holds is not run again, what it
            lacks is added.
        passes: bounds of judging passes for each wanted composite, such as 2 and 8: each arm that judges runs once more
            under each, for a *budget* table beside that of *quality*.
        data: material made by you; then everything runs in this process.
        observer: watches; `observer.of("learned, seed 0")` is told of that run.
        trust: import the code that the recipe names (`target: {kind: user}`).

    Raises:
        TerseError: a recipe, arm, source or folder that cannot be used; the message says which and why.
        Interrupted: the observer asked to stop; `resume` goes on.
    """
    began = time.monotonic()
    observer, data = heard_by(observer), made_by_caller(data)
    recipe = _settled(as_recipe(recipe, overrides), data)
    chosen = arms_to_run(recipe, arms, passes)
    if arms is None and treatment is None and recipe.synthesis.kind not in ("none", reference):
        treatment = next((arm.name for arm in chosen if arm.name == recipe.synthesis.kind), None)
    own = [] if data is None else [arm for arm in chosen if _reads_other_material(recipe, arm)]
    if own:
        raise RecipeError(
            f"arms: {own[0]}: expected neither cleanup nor data.affnist_train beside data that you made, which all arms share"
        )
    if seeds < 1:
        raise RecipeError(f"seeds: expected 1 or more, got {seeds}; 5 give a verdict")
    if not 0 <= worth < math.inf:
        raise RecipeError(f"worth: expected a number >= 0, got {worth:g}; 0 is any gain")
    if workers is not None and workers < 0:
        raise RecipeError(f"workers: expected an integer >= 0, got {workers}; 0 works in the process that was begun")
    folder = Path(out)
    with trusting(trust), locked(folder):
        with taken_back(folder, keep=lambda: any(folder.rglob("checkpoint.pth"))):
            _claim(folder, recipe, resume=resume)
            _keep_arms(folder, chosen)
            comparison(sorted(read_arms(folder), key=arm_order), treatment, reference)  # before hours of runs
            numbers = range(recipe.seed, recipe.seed + seeds)
            starts = [
                ProofJob(None, seed, folder / "start" / f"seed-{seed}", followers=tuple(chosen)) for seed in numbers
            ]
            jobs = [
                ProofJob(
                    arm,
                    start.seed,
                    folder / "arms" / arm.name / f"seed-{start.seed}",
                    start.folder,
                    Path(kept) / arm.name / f"seed-{start.seed}.json" if kept is not None else None,
                )
                for start in starts
                for arm in chosen
            ]
            taken = [job for job in jobs if _taken(recipe, job)]
            jobs = [job for job in jobs if job not in taken]
            needed = {job.start for job in jobs}
            taken += [start for start in starts if start.folder not in needed]
            starts = [start for start in starts if start.folder in needed]
            for job in taken:
                observer.of(job.name).done()
            most = _workers(recipe) if workers is None else workers
            count = 0 if data is not None else min(most, len(jobs))
            run_jobs(recipe, starts, jobs, observer, workers=count, data=data)
        if audit and task_of(recipe).audits_pastes:
            _audit(recipe, chosen, folder, data)
        found = summarise(folder, treatment=treatment, reference=reference, worth=worth)
        covered = {arm: {s: one.to_json() for s, one in of.items()} for arm, of in coverage_of(folder).items()}
        write_json(folder / "coverage.json", covered)
        elapsed = round(time.monotonic() - began, 3)
        found = found.model_copy(update={"out": str(folder), "elapsed_seconds": elapsed})
        write_json(folder / "result.json", found.to_json())
        write_page(folder, proof_pictures(folder, recipe, found, data))
    return found.to_json()


@process_kept()
def compute_page(folder: Path) -> None:
    """Write `page/` for a finished proof that has none or an outdated one.

    Raises:
        RunError: the folder holds no finished proof.
    """
    write_page(folder, proof_pictures(folder, load_recipe(folder / "recipe.yaml"), read_proof(folder)))


def _reads_other_material(recipe: Recipe, arm: Arm) -> bool:
    return material_key(arm_recipe(recipe, arm, recipe.seed)) != material_key(recipe)


def _taken(recipe: Recipe, job: ProofJob) -> bool:
    """Whether the job's run is kept; its figures then lie in its folder."""
    settings = arm_recipe(recipe, job.arm or NO_ARM, job.seed)
    if not is_kept(job.kept, settings):
        return False
    take_kept(job.kept, settings, job.folder)
    return True


def _settled(recipe: Recipe, data: RunData | None) -> Recipe:
    """With test images of its own: what chose the model is not what proves it."""
    if data is None and recipe.data is None and recipe.test is None:
        settings = join(Recipe, recipe.model_dump(mode="json"), {"test": 0.2})
        return validate(Recipe, settings, None)
    return recipe


def arms_to_run(recipe: Recipe, arms: Sequence[str | Arm] | None, passes: Sequence[float] = ()) -> list[Arm]:
    """The arms of a proof: those asked for, the columns of a named table apart, and again under each bound of passes.

    Raises:
        RecipeError: fewer than two, a name taken twice, or an arm that the recipe does not allow.
    """
    asked = arms if arms is not None else _default_arms(recipe)
    texts = [item for arm in asked for item in ((arm,) if isinstance(arm, Arm) else arms_of(arm) or (arm,))]
    chosen = list(dict.fromkeys(arm if isinstance(arm, Arm) else Arm.parse(arm) for arm in texts))
    chosen = list(dict.fromkeys(with_bounds(recipe, chosen, passes)))
    for arm in chosen:
        arm_recipe(recipe, arm, recipe.seed)
    names = [arm.name for arm in chosen]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RecipeError(f"arms: expected a name for each arm, got {twice} twice; for example {twice}-2:key=value")
    if len(names) < 2:
        raise RecipeError(
            f"arms: expected two or more, got {', '.join(names) or 'none'}; for example none,random,learned"
        )
    return chosen


def _default_arms(recipe: Recipe) -> list[str]:
    """The task's; a recipe of another arm says nothing of how `learned` is to learn, whose own defaults are those of digits."""
    names = task_of(recipe).default_arms
    return [name for name in names if name != "learned" or recipe.synthesis.kind == "learned"]


def _keep_arms(folder: Path, chosen: Sequence[Arm]) -> None:
    """Write `arms.json`, the overrides of every arm that the proof has had.

    Raises:
        RunError: an arm of the same name had others.
    """
    kept = read_arms(folder)
    for arm in chosen:
        if list(arm.overrides) != kept.get(arm.name, list(arm.overrides)):
            raise RunError(
                f"arms: expected {Arm(arm.name, tuple(kept[arm.name]))}, as {folder} was begun with, got {arm}; "
                "give the arm another name"
            )
    write_json(folder / "arms.json", {**kept, **{arm.name: list(arm.overrides) for arm in chosen}})


def _workers(recipe: Recipe) -> int:
    """One a core; one where a GPU does the work."""
    import torch

    device = recipe.runtime.device
    on_gpu = device not in ("auto", "cpu") or (device == "auto" and torch.cuda.is_available())
    return 1 if on_gpu else usable_cores()


def _claim(folder: Path, recipe: Recipe, *, resume: bool) -> None:
    written = folder / "recipe.yaml"

    def earlier() -> Mapping[str, Any] | None:
        free = shutil.disk_usage(folder).free
        if free < _FREE_BYTES:
            raise RunError(
                f"{folder}: expected 64 MB of room at least, got {free >> 20} MB; make room or give `out` another"
            )
        if written.is_file() and not (folder / "start").is_dir():
            raise RunError(
                f"{folder}: expected a new folder, got one that holds another kind of run; give `out` another"
            )
        return begun_with(written) if written.is_file() else None

    def begin() -> None:
        (folder / "start").mkdir()
        write_atomically(written, dump_recipe(recipe).encode())

    request = recipe.model_dump(mode="json")
    claim(folder, "proof", request, resume=resume, written=earlier, begin=begin, ignored=NOT_COMPARED)


def _audit(recipe: Recipe, arms: Sequence[Arm], folder: Path, data: RunData | None) -> None:
    """Write what a probe finds, `shortcut.json`: a few seconds a blend, but nothing where all of them stand there."""
    import torch

    from terse.proof.audit import audit_pastes
    from terse.recipe_parts import BLENDS
    from terse.run import build_players

    pasting = {arm_recipe(recipe, arm, recipe.seed).synthesis.kind for arm in arms}
    blends = BLENDS if pasting & {"cut_paste_learn", "context"} else ("alpha",)
    written = folder / "shortcut.json"
    if written.is_file() and set(blends) <= set(read_record(written, Shortcut, "what a probe found").auc):
        return
    players = build_players(arm_recipe(recipe, NO_ARM, recipe.seed), data=data)
    torch.set_num_threads(1)
    found = audit_pastes(players.materials, recipe.edges, blends=blends, patched=recipe.artefacts.count > 0)
    write_json(written, found.to_json())
