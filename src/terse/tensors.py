"""Files of tensors: read without running code, and only where every byte is what was written."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

from terse.errors import DataError
from terse.folders import inflated_limit

__all__ = ["read_tensors"]

_BLOCK_BYTES = 1 << 20


def read_tensors(path: Path, *, bounded: bool = False) -> Any:
    """What `torch.save` or safetensors wrote, on the CPU: tensors, and numbers, strings, lists and mappings around them.

    Args:
        path: a `.safetensors` file, or any other as `torch.save` writes it.
        bounded: the file is not one that the user named: refuse it where it would unpack to more than twenty times its size
            (64 MB are free) or 2 GB.

    Raises:
        DataError: missing, broken (a flipped bit is enough), too large, or holding what only code could make.
    """
    import torch

    if not path.is_file():
        raise DataError(f"{path}: expected a file of weights, got none")
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        _check_archive(path, bounded=bounded)
        return torch.load(path, map_location="cpu", weights_only=True)
    except DataError:
        raise
    except Exception as error:  # torch.load raises a dozen types, by how the file is broken
        raise DataError(
            f"{path}: expected weights as tensors only, got a file that cannot be read so ({_why(error)})"
        ) from None


def _why(error: Exception) -> str:
    """Why a file was not read; torch's own advice is to run its code."""
    told = str(error)
    if "weights_only" not in told:
        return told.splitlines()[0] if told else type(error).__name__
    named = re.search(r"GLOBAL (\S+)", told)
    made = f", {named[1]}; save the state_dict alone, as torch.save(model.state_dict(), FILE)" if named else ""
    return f"it holds what only code could make{made}"


def _check_archive(path: Path, *, bounded: bool) -> None:
    """Compare the checksums of a zip's members, which torch does not; a file of before torch 1.6 has none."""
    if not zipfile.is_zipfile(path):
        if bounded:
            raise DataError(f"{path}: expected a zip of tensors, got a file that is broken or not one")
        return
    with zipfile.ZipFile(path) as archive:
        size, whole = path.stat().st_size, sum(member.file_size for member in archive.infolist())
        if bounded and whole > max(size, inflated_limit(size)):
            raise DataError(
                f"{path}: expected tensors of at most 20 times the file's size, got {whole >> 20} MB in a file of "
                f"{size >> 10} kB"
            )
        for member in archive.infolist():
            with archive.open(member) as stream:  # reading to the end compares the checksum
                while stream.read(_BLOCK_BYTES):
                    pass
