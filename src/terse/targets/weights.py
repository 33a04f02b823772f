"""Weights from a file, safely: tensors only, never code."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from terse.errors import DataError

__all__ = ["load_weights", "read_weights"]


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.pth` or `.safetensors` file by name.

    Raises:
        DataError: missing, broken, holding anything but tensors, or no mapping of names to tensors.
    """
    if not path.is_file():
        raise DataError(f"{path}: expected a file of weights, got none")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors: Any = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises a dozen types, by how the file is broken
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path}: expected weights as tensors only, got a file that cannot be read so ({first})"
        ) from None
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
    tensors, own = read_weights(path), module.state_dict()
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
