"""Files inside a folder, and nothing outside it: a data set is other people's text."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from terse.errors import DataError
from terse.sources.decode import IMAGE_SUFFIXES

__all__ = ["existing_file", "existing_folder", "image_files", "inside"]


def existing_folder(field: str, folder: Path) -> Path:
    """The folder, resolved.

    Raises:
        DataError: no such folder.
    """
    if not folder.is_dir():
        got = "a file" if folder.exists() else "nothing"
        raise DataError(f"{field}: expected a folder, got {got} at {folder}; relative paths start at the recipe's file")
    return folder.resolve()


def existing_file(field: str, file: Path) -> Path:
    """The file, resolved.

    Raises:
        DataError: no such file.
    """
    if not file.is_file():
        got = "a folder" if file.exists() else "nothing"
        raise DataError(f"{field}: expected a file, got {got} at {file}; relative paths start at the recipe's file")
    return file.resolve()


def inside(root: Path, name: str, where: str) -> str:
    """The file's path relative to root, with forward slashes; the file need not exist.

    Args:
        root: resolved.
        name: as the data set gives it.
        where: file and field, for the error.

    Raises:
        DataError: the path is absolute, climbs out by `..`, or is a link that leads out.
    """
    if not name or "\0" in name or not _writable(name):
        raise DataError(f"{where}: expected a file name, got {name!r}; correct it")
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or name.startswith("\\"):
        raise DataError(f"{where}: expected a path inside {root}, got the absolute {name!r}; make it relative")
    path = os.path.normpath(root / name)
    if not Path(path).is_relative_to(root):
        raise DataError(f"{where}: expected a path inside {root}, got {name!r}; move the file into the folder")
    real = os.path.realpath(path)
    if not Path(real).is_relative_to(root):
        raise DataError(
            f"{where}: expected a path inside {root}, got {name!r}, a link to {real}; copy the file into the folder"
        )
    return Path(path).relative_to(root).as_posix()


def image_files(root: Path, folder: str = ".") -> Iterator[str]:
    """Every image file below a folder inside root, relative to root, sorted; hidden ones are passed over.

    Raises:
        DataError: a link that leads out of root.
    """
    for here, folders, files in os.walk(root / folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = Path(here).relative_to(root)
        for name in folders:
            if (Path(here) / name).is_symlink():
                inside(root, (relative / name).as_posix(), str(root))
        for name in sorted(files):
            if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith("."):
                yield inside(root, (relative / name).as_posix(), str(root))


def _writable(name: str) -> bool:
    """Whether a name can stand in a recipe or a report: lone surrogates cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
