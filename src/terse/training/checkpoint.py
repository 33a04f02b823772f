"""A run's state on disk: written under a temporary name, synced, renamed; the previous one kept."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from terse.errors import RunError

__all__ = ["read_checkpoint", "write_atomically", "write_checkpoint"]

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
    temporary = folder / f"{_CURRENT}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            torch.save({"tensors": dict(tensors), "facts": json.dumps(facts)}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        if current.exists():
            current.replace(previous)
        temporary.replace(current)
        _sync_folder(folder)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        temporary.unlink(missing_ok=True)
        kept = current if current.exists() else previous
        good = f"the state before it is whole in {kept}" if kept.exists() else "no state was written before"
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise RunError(f"{current}: expected to write a checkpoint, got: {reason}; {good}") from None
    return current


def read_checkpoint(folder: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Tensors and facts of the newest whole state, None where there is none.

    Tensors only: a checkpoint cannot run code.

    Source: ours.
    """
    for name in (_CURRENT, _PREVIOUS):
        path = folder / name
        if not path.is_file():
            continue
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            return state["tensors"], json.loads(state["facts"])
        except Exception:  # noqa: S112 - a torn file raises by where it is torn; the previous one is whole
            continue
    return None


def write_atomically(path: Path, data: bytes) -> None:
    """The whole file or the old one.

    Raises:
        RunError: no room, or no permission.

    Source: ours.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(f"{path}: expected room to write it, got: {error.strerror or error}") from None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
