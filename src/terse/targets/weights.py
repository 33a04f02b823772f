"""Weights from a file, safely: tensors only, never code."""

import logging
from collections.abc import Callable, Container, Iterable, Mapping
from itertools import accumulate, takewhile
from pathlib import Path

import torch
from torch import Tensor, nn

from terse.errors import DataError
from terse.tensors import read_tensors

__all__ = ["load_tensors", "load_weights", "outputs_of", "read_weights", "shared_prefixes", "without_prefix"]

_log = logging.getLogger(__name__)

_KEYS = ("state_dict", "model_state_dict", "model")
"""Under which a checkpoint holds the weights beside what else a training keeps."""
_WRAPPERS = ("module.", "_orig_mod.")
"""What torch's parallel wrappers and `torch.compile` put before each name."""


def read_weights(path: Path, own: Container[str] = ()) -> dict[str, Tensor]:
    """The tensors of a `.pth` or `.safetensors` file by name.

    Args:
        path: the file.
        own: the names of the module that is to be loaded: such names are left as they are, and where all are such
            without a prefix that they share, they lose it.

    Raises:
        DataError: missing, broken, holding anything but tensors of real numbers, or no mapping of names to tensors.
    """
    tensors = read_tensors(path)
    for key in _KEYS:
        if isinstance(tensors, dict) and isinstance(tensors.get(key), dict):
            tensors = tensors[key]
    if not isinstance(tensors, dict) or not tensors:
        got = "an empty one" if isinstance(tensors, dict) else type(tensors).__name__
        raise DataError(f"{path}: expected a state_dict of tensors by name, got {got}")
    others = [str(name) for name, value in tensors.items() if not isinstance(value, Tensor)]
    if others:
        raise DataError(
            f"{path}: expected a state_dict of tensors by name, got other things as well, such as "
            f"{', '.join(map(repr, others[:3]))}; save the state_dict alone"
        )
    unusual = [f"{str(name)!r} ({kind})" for name, value in tensors.items() if (kind := _kind(value))]
    if unusual:
        raise DataError(
            f"{path}: expected dense tensors of real numbers, got others as well, such as {', '.join(unusual[:3])}; "
            "save them as dense ones"
        )
    bare = {
        name if name in own else _bare(name): value
        for name, value in zip(map(str, tensors), tensors.values(), strict=True)
    }
    return without_prefix(bare, lambda names: all(name in own for name in names), path)


def without_prefix(
    tensors: Mapping[str, Tensor], fit: Callable[[Mapping[str, Tensor]], bool], path: Path
) -> dict[str, Tensor]:
    """The tensors without the shortest prefix that all names share and without which they fit; else as they are.

    A model that was an attribute of a training tool's module (Lightning's `model.`) has one.
    """
    for prefix in shared_prefixes(tensors):
        bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        if fit(bare):
            if prefix:
                _log.info("%s: the names are read without %r, which all of them begin with", path.name, prefix)
            return bare
    return dict(tensors)


def shared_prefixes(names: Iterable[str]) -> list[str]:
    """The prefixes of whole parts, each with its dot, that all names have, shortest first; the empty one is first."""
    parts = zip(*(name.split(".")[:-1] for name in names), strict=False)
    return ["", *accumulate(f"{same[0]}." for same in takewhile(lambda column: len(set(column)) == 1, parts))]


def outputs_of(tensor: Tensor) -> int:
    """The outputs of a layer with this weight or bias."""
    return len(tensor) if tensor.ndim else 1


def _kind(tensor: Tensor) -> str | None:
    """What makes a tensor none of weights."""
    if tensor.layout != torch.strided:
        return str(tensor.layout).removeprefix("torch.")
    if tensor.is_meta:
        return "without values"
    return str(tensor.dtype).removeprefix("torch.") if tensor.is_quantized or tensor.is_complex() else None


def _bare(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a whole state_dict into the module.

    Raises:
        DataError: names or shapes disagree; the first few are named.
    """
    load_tensors(module, read_weights(path, module.state_dict()), path)


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load the tensors of a file into the module.

    Raises:
        DataError: names or shapes disagree; the first few are named.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in tensors]
    extra = [name for name in tensors if name not in own]
    wrong = [name for name in own if name in tensors and own[name].shape != tensors[name].shape]
    if missing or extra or wrong:
        told = "; ".join(
            f"{len(names)} {what}, such as {', '.join(names[:3])}"
            for what, names in (("missing", missing), ("unknown", extra), ("of another shape", wrong))
            if names
        )
        raise DataError(f"{path}: expected the weights of {type(module).__name__}, got another model's ({told})")
    module.load_state_dict(tensors)
