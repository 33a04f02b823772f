"""`terse train`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

__all__ = ["train"]


def train(
    recipe: str,
    *overrides: str,
    out: Path | None = None,
    resume: bool = False,
    device: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Run a recipe: the model gets better, and a page shows how.

    Args:
        recipe: A built-in recipe's name (`terse recipes`) or a file.
        overrides: Settings as key=value, for example cycles=3 or synthesis.kind=random.
        out: Folder for the run; runs/NAME by default.
        resume: Go on with the run that the folder holds.
        device: cpu, cuda, cuda:1, mps.
        as_json: Print the result as one JSON object.
    """
    from terse.cli.progress import watching
    from terse.errors import RunError
    from terse.recipe import load_recipe

    settings = [*overrides, *([f"runtime.device={device}"] if device else [])]
    loaded = load_recipe(recipe, settings)
    if resume and out is None:
        raise RunError("--resume: expected --out with the run's folder, got none")
    folder = out if out is not None else _new_folder(loaded.name)
    from terse.tasks.task import task

    with watching(loaded.cycles, task(loaded.task).progress) as watcher:
        watcher.say(f"{loaded.name} -> {folder}")
        from terse.progress import Interrupted
        from terse.run import train as run

        try:
            result = run(loaded, out=folder, resume=resume, observer=watcher)
        except Interrupted:
            again = ["terse", "train", recipe, *settings, "--out", str(folder), "--resume"]
            watcher.say(f"stopped; go on with: {shlex.join(again)}")
            return 130
        from terse.report.run_page import build_run_page

        page = build_run_page(folder)
    print(json.dumps(result) if as_json else _summary(result, page))
    return 0


def _summary(result: dict[str, Any], page: Path) -> str:
    name = result["primary"]
    start, end = (result["metrics"][when][name] for when in ("start", "end"))
    kept = f"cycle {result['best_cycle']}" if result["best_cycle"] else "the start: no cycle was better on validation"
    lines = [
        f"{name} {start:.3f} -> {end:.3f} in {result['seconds']:.0f} s (kept: {kept})",
        f"better model  {Path(result['out']) / 'target.pth'}",
        f"page          {page}",
    ]
    return "\n".join([*(f"alarm: {alarm}" for alarm in result["alarms"]), *lines])


def _new_folder(name: str) -> Path:
    """`runs/NAME`, or the first of `runs/NAME-2`, `-3`, ... that is free."""
    folder = Path("runs") / name
    number = 2
    while folder.exists() and any(folder.iterdir()):
        folder = Path("runs") / f"{name}-{number}"
        number += 1
    return folder
