"""A run's state on disk: written under a temporary name, synced, renamed; the previous one kept."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from terse.errors import DataError, RunError
from terse.folders import replacing
from terse.pool_shards import shards_in
from terse.progress import Observer
from terse.tensors import read_tensors
from terse.training.metrics_log import FILE_NAME, MetricsLog

__all__ = ["BEGIN_ANEW", "FORMAT", "read_checkpoint", "require_none_lost", "write_checkpoint"]

FORMAT = 1
"""Of the state; a change of its layout counts it up."""

BEGIN_ANEW = "begin anew by `restart`, a proof's run by removing its folder"
"""What is left where a run cannot go on."""

_CURRENT, _PREVIOUS = "checkpoint.pth", "previous.pth"


def write_checkpoint(folder: Path, tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> Path:
    """Write tensors and JSON-able facts; a kill at any moment leaves this or the previous state whole.

    Args:
        folder: the run's `state/`.
        tensors: nested dicts and lists of tensors and numbers, as `state_dict()` gives them.
        facts: everything else.

    Raises:
        RunError: no room, or no permission; the previous state is untouched and nothing half-written is left.

    Source: ours.
    """
    current, previous = folder / _CURRENT, folder / _PREVIOUS
    try:
        with replacing(current, keep=previous) as stream:
            torch.save({"format": FORMAT, "tensors": dict(tensors), "facts": json.dumps(facts)}, stream)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        kept = current if current.exists() else previous
        good = f"the state before it is whole in {kept}" if kept.exists() else "no state was written before"
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise RunError(f"{current}: expected to write a checkpoint, got: {reason}; {good}") from None
    return current


def read_checkpoint(folder: Path, observer: Observer | None = None) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Tensors and facts of the newest whole state, None where none was written.

    Tensors only: a checkpoint cannot run code. The observer is told where the newest one is torn and the one before it is
    taken.

    Raises:
        RunError: states were written and none is whole; or another version of terse wrote it, in a format that this one
            does not know.

    Source: ours.
    """
    torn = ""
    for name in (_CURRENT, _PREVIOUS):
        path = folder / name
        if not path.is_file():
            torn = torn or f"{path} is gone"
            continue
        try:
            state = read_tensors(path, bounded=True)
            tensors, facts, found = state["tensors"], json.loads(state["facts"]), state.get("format", FORMAT)
        except (DataError, KeyError, TypeError, ValueError) as error:
            torn = f"{path} is broken ({str(error).removeprefix(f'{path}: ')})"
            continue
        if found != FORMAT:
            raise RunError(
                f"{path}: expected state of format {FORMAT}, got {found}; go on with the version of terse that wrote it"
            )
        if torn and observer is not None:
            observer.say(f"state: {torn}; going on from the one before it, {path}")
        return tensors, facts
    if "broken" in torn:
        raise RunError(f"{folder}: expected a state to go on with, got none that is whole: {torn}; {BEGIN_ANEW}")
    return None


def require_none_lost(run: Path) -> None:
    """See that a run without a state was stopped before its first one.

    Its folder `state/` is there from the beginning, and nothing of a cycle is written before a state.

    Raises:
        RunError: it wrote what comes later.

    Source: ours.
    """
    written = list(shards_in(run / "pool").values())
    if not (run / "state").is_dir():
        written += [path for path in (run / FILE_NAME, run / "start.pth") if path.is_file()]
    elif MetricsLog(run).last_cycle() > 0:
        written.append(run / FILE_NAME)
    if written:
        raise RunError(
            f"{run / 'state'}: expected the state of the run that wrote {written[0].name}, got none; restore it, or "
            f"{BEGIN_ANEW}"
        )
