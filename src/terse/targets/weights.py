"""Weights from a file, safely: tensors only, never code."""

from collections.abc import Container, Mapping
from pathlib import Path

from torch import Tensor, nn

from terse.errors import DataError
from terse.tensors import read_tensors

__all__ = ["load_tensors", "load_weights", "read_weights"]

_KEYS = ("state_dict", "model_state_dict", "model")
"""Under which a checkpoint holds the weights beside what else a training keeps."""
_WRAPPERS = ("module.", "_orig_mod.")
"""What torch's parallel wrappers and `torch.compile` put before each name."""


def read_weights(path: Path, own: Container[str] = ()) -> dict[str, Tensor]:
    """The tensors of a `.pth` or `.safetensors` file by name.

    Args:
        path: the file.
        own: names that are left as they are: those of the module that is to be loaded.

    Raises:
        DataError: missing, broken, holding anything but tensors, or no mapping of names to tensors.
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
    return {
        name if name in own else _bare(name): value
        for name, value in zip(map(str, tensors), tensors.values(), strict=True)
    }


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
