"""Files inside a folder, and nothing outside it: a data set is other people's text."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from terse.errors import DataError
from terse.sources.decode import IMAGE_SUFFIXES

__all__ = ["existing_file", "existing_folder", "folders_near", "image_files", "inside", "is_absolute", "leads_out"]


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


def folders_near(file: Path) -> Iterator[Path]:
    """Where the photographs of an annotation file may lie, the likeliest first; some need not exist."""
    here, above = file.parent, Path(os.path.normpath(file.parent / ".."))
    if here.resolve().parent != above.resolve():
        above = here.resolve().parent  # the file's folder is a link
    stem = file.stem.removeprefix("instances_").removeprefix("person_keypoints_")
    for folder in (here, above):
        yield folder / "images"
        yield folder / stem
        yield folder / "images" / stem
        yield folder
    for folder in (here, above):
        try:
            yield from sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        except OSError:
            continue


def inside(root: Path, name: str, where: str) -> str:
    """The file's path relative to root, with forward slashes; the file need not exist.

    Links are not looked at: one may lead anywhere, and whoever opens it asks for a regular file.

    Args:
        root: resolved.
        name: as the data set gives it.
        where: file and field, for the error.

    Raises:
        DataError: the path climbs out by `..`, or is absolute and not below root.
    """
    if not name or "\0" in name or not _writable(name):
        raise DataError(f"{where}: expected a file name, got {name!r}; correct it")
    path = Path(os.path.normpath(root / name))
    if is_absolute(name):
        # macOS's /tmp is a link: an absolute path may be the root's own by another name.
        path = path if path.is_relative_to(root) else path.parent.resolve() / path.name
        if not Path(name).is_absolute() or not path.is_relative_to(root):
            raise DataError(f"{where}: expected a path inside {root}, got the absolute {name!r}; make it relative")
    if not path.is_relative_to(root):
        raise DataError(f"{where}: expected a path inside {root}, got {name!r}; move the file into the folder")
    return path.relative_to(root).as_posix()


def is_absolute(name: str) -> bool:
    """Whether a name starts at a root or drive of some system, not necessarily this one."""
    return PurePosixPath(name).is_absolute() or bool(PureWindowsPath(name).drive) or name.startswith("\\")


def leads_out(root: Path, name: str) -> bool:
    """Whether a file inside root is, by a link of its own or of a folder above it, a file outside root."""
    return not Path(os.path.realpath(root / name)).is_relative_to(root)


def image_files(root: Path, folder: str = ".", without: Collection[str] = ()) -> Iterator[str]:
    """Every image file below a folder inside root, relative to root, sorted; hidden ones are passed over.

    Links are followed, to folders as well; a folder that holds itself by a link is read once.

    Args:
        root: resolved.
        folder: where to start, relative to root.
        without: folders not to enter, relative to root.
    """
    seen: set[str] = set()
    for here, folders, files in os.walk(root / folder, followlinks=True):
        real = os.path.realpath(here)
        relative = Path(here).relative_to(root)
        if real in seen:
            folders[:] = []
            continue
        seen.add(real)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and (relative / name).as_posix() not in without
        )
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
