"""`terse train`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from terse.progress import Observer
    from terse.recipe import Recipe

from terse.cli.answers import Json, answer
from terse.cli.jobs import folder_of, next_cycle, trust_given, with_device, with_trust

__all__ = ["train"]


@with_trust
def train(
    recipe: str,
    *overrides: str,
    out: Path | None = None,
    resume: bool = False,
    restart: bool = False,
    device: str | None = None,
    as_json: Json = False,
) -> int:
    """Run a recipe: the model gets better, and a page shows how.

    On several GPUs: torchrun --nproc-per-node 4 -m terse train RECIPE --out DIR, or accelerate launch -m terse train.

    Args:
        recipe: A built-in recipe's name (`terse recipes`) or a file.
        overrides: Settings as key=value, for example cycles=3 or synthesis.kind=random.
        out: Folder for the run; runs/NAME by default.
        resume: Go on with the run that the folder holds.
        restart: Begin anew in a folder that holds a run; what that run wrote is removed.
        device: cpu, cuda, cuda:1, mps.
        as_json: Print the result as one JSON object.
    """
    from terse.errors import RunError, TerseError
    from terse.process import launched

    rank = launched()
    settings = with_device(overrides, device)
    quiet = rank.rank > 0
    try:
        if rank.count > 1 and out is None:
            raise RunError("--out: expected it beside several processes, which have to agree on the folder, got none")
        return _train(recipe, settings, out=out, resume=resume, restart=restart, as_json=as_json, quiet=quiet)
    except TerseError as error:
        if rank.count > 1:
            from terse.training.ranks import speaks_of

            if not speaks_of(error):
                return 2
        raise


def _train(
    recipe: str,
    settings: list[str],
    *,
    out: Path | None,
    resume: bool,
    restart: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run a recipe; `quiet` is a process that another one speaks for."""
    from terse.cli.progress import watching
    from terse.recipe import load_recipe

    loaded = load_recipe(recipe, settings)
    found_by = "--restart" if restart else "--resume" if resume else None
    folder = folder_of(out, loaded.name, "run", found_by=found_by)
    from terse.tasks.task import task_of

    opening = f"{loaded.name} -> {folder}"
    with watching(loaded.cycles, task_of(loaded).progress, quiet=quiet, opening=opening) as watcher:
        from terse.progress import Interrupted
        from terse.run import train as run

        try:
            result = run(loaded, out=folder, resume=resume, restart=restart, observer=watcher)
        except Interrupted:
            again = ["terse", "train", recipe, *settings, "--out", str(folder), *trust_given(), "--resume"]
            watcher.say(f"stopped; go on with: {shlex.join(again)}")
            return watcher.exit_status
        if quiet:
            return 0
        from terse.report.before_after import draw_before_after
        from terse.report.run_page import build_run_page

        page, picture = build_run_page(folder), draw_before_after(folder)
        if result.get("trained_elsewhere"):
            found = _write_set(folder, watcher)
            answer(result | {"set": found}, _summary_of_judged(result, found, page, loaded), as_json=as_json)
            return 0
    answer(result, _summary(result, page, picture, loaded.model_dump(mode="json")), as_json=as_json)
    return 0


def _write_set(folder: Path, watcher: Observer) -> dict[str, Any]:
    """What the target fails, as a COCO set in the run's folder; as it is where it was written before."""
    from terse.generate import render

    out = folder / "set-1"
    return render(folder / "pool", out, workers=0, resume=out.exists(), observer=watcher)


def _summary_of_judged(result: dict[str, Any], found: dict[str, Any], page: Path, recipe: Recipe) -> str:
    name, where = result["primary"], _where(recipe.model_dump(mode="json"))
    lines = [
        f"{name} {result['metrics']['start'][name]:.3f}{where}: this target only judges, terse cannot train it",
        f"set           {found['out']}: {found['images']:,} composites that it fails",
        f"page          {page}",
        "next          train it on the set, then",
        f"              {next_cycle(result['out'], 2, recipe)}",
    ]
    return "\n".join([*(f"alarm: {alarm}" for alarm in result["alarms"]), *lines])


def _where(settings: Mapping[str, Any]) -> str:
    """What a figure is of, where it is of other images than those of a test."""
    from terse.pictures.judging import judging_images

    images = judging_images(settings)
    return "" if images == "test" else f" on the {images} images"


def _summary(result: dict[str, Any], page: Path, picture: Path | None, settings: Mapping[str, Any]) -> str:
    from terse.report.paper import choice_of
    from terse.tasks.task import metric_of

    name = result["primary"]
    start, end = (result["metrics"][when][name] for when in ("start", "end"))
    none_better = ": no cycle was better on validation" if result["cycles"] else ""
    kept = f"cycle {result['best_cycle']}" if result["best_cycle"] else f"the start{none_better}"
    is_better = result["best_cycle"] and metric_of(name).better(start, end)
    unchanged = "" if result["best_cycle"] else ", the start unchanged"
    lines = [
        f"{name} {start:.3f} -> {end:.3f}{_where(settings)} in {result['seconds']:.0f} s (kept: {kept})",
        f"{'better model' if is_better else 'model':14}{Path(result['out']) / 'target.pth'}{unchanged}",
        *(f"note          {told}" for told in choice_of(settings, len(result["cycles"]))),
        *([] if picture is None else [f"picture       {picture}: answers before and after"]),
        f"page          {page}: open it in a browser",
    ]
    return "\n".join([*(f"alarm: {alarm}" for alarm in result["alarms"]), *lines])
