"""Weights from a file, safely: tensors only, never code."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from terse.errors import DataError
from terse.tensors import read_tensors

__all__ = ["load_tensors", "load_weights", "read_weights"]


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.pth` or `.safetensors` file by name.

    Raises:
        DataError: missing, broken, holding anything but tensors, or no mapping of names to tensors.
    """
    tensors = read_tensors(path)
    for key in ("state_dict", "model"):
        if isinstance(tensors, dict) and isinstance(tensors.get(key), dict):
            tensors = tensors[key]
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise DataError(f"{path}: expected a state_dict of tensors by name, got {type(tensors).__name__}")
    return {str(name).removeprefix("module."): value for name, value in tensors.items()}


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a whole state_dict into the module.

    Raises:
        DataError: names or shapes disagree; the first few are named.
    """
    load_tensors(module, read_weights(path), path)


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
