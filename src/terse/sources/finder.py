"""Files that other people's text names: found inside the data set's folder, and nowhere outside it.

A name is taken as it stands where that file is there. Only then is it read otherwise (made on another machine, for another
layout, or renamed), and never as a file outside the folder or as one of several that it could mean.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from terse.errors import DataError
from terse.sources.decode import IMAGE_SUFFIXES

__all__ = [
    "Finder",
    "best_folder",
    "existing_file",
    "existing_folder",
    "files_below",
    "files_of_kind",
    "folder_of_photographs",
    "folders_near",
    "image_files",
    "inside",
    "is_absolute",
    "is_file",
    "is_folder",
    "is_there",
    "leads_out",
    "slashed",
]

_SAMPLE = 64


class Finder:
    """Finds files inside one folder by the names that annotations give them.

    Args:
        root: the folder, resolved.
        names: all names that will be asked for. Where none of them is there as it stands, they may share a beginning
            that this folder does not have (`images/`, `data/`, `/content/set/`): it is then taken off.
    """

    def __init__(self, root: Path, names: Sequence[str] = ()) -> None:
        self.root = root
        self._listings: dict[str, tuple[dict[str, list[str]], dict[str, list[str]]]] = {}
        sample = names[:: max(1, len(names) // _SAMPLE)]
        self._beginnings = self._shared([slashed(name) for name in sample if "\0" not in name])

    def find(self, name: str, where: str) -> str:
        """The file's path relative to root; where nothing is there, the plainest reading of the name.

        Raises:
            DataError: the path leaves the folder, or several files could be meant.
        """
        if not is_absolute(name) and self._there(plain := inside(self.root, name, where)):
            return plain
        if is_absolute(name):
            return self._absolute(name, where)
        name = slashed(name)
        plain = inside(self.root, name, where)
        found = self._alike(plain, where)
        if found is not None:
            return found
        for beginning in self._beginnings:
            if plain.startswith(beginning):
                rest = plain.removeprefix(beginning)
                return self._alike(rest, where) or rest
        return plain

    def _absolute(self, name: str, where: str) -> str:
        path = slashed(name)
        try:
            return inside(self.root, path, where)
        except DataError:
            tail = next((tail for tail in _tails(path) if self._there(tail)), None)
        return tail or inside(self.root, name, where)

    def image_of_stem(self, folder: str, stem: str, where: str) -> str | None:
        """The image of a folder that has this stem, whatever its ending.

        Raises:
            DataError: several have.
        """
        return self._one(folder, self._list(folder)[1].get(_key(stem), []), where)

    def _shared(self, names: Iterable[str]) -> list[str]:
        """The beginnings to take off relative names, the most frequent first; none where a name stands as it is."""
        counts: Counter[str] = Counter()
        for name in names:
            parts = PurePosixPath(name).parts
            if is_absolute(name) or ".." in parts:
                continue
            if self._there(name):
                return []
            for k in range(1, len(parts)):
                if self._there("/".join(parts[k:])):
                    counts["/".join(parts[:k]) + "/"] += 1
                    break
        return [beginning for beginning, _ in counts.most_common()]

    def _there(self, name: str) -> bool:
        # A link counts, broken or not: who opens it can say so.
        return os.path.lexists(os.path.join(self.root, name))

    def _alike(self, name: str, where: str) -> str | None:
        """The one file that differs from a name in letters' case alone, or that has an ending where the name has none."""
        if self._there(name):
            return name
        path = PurePosixPath(name)
        folder = path.parent.as_posix()
        if folder != "." and not self._there(folder):
            found = self._alike(folder, where)
            if found is None:
                return None
            folder = found
        names, stems = self._list(folder)
        same = names.get(_key(path.name), [])
        if not same and path.suffix.lower() not in IMAGE_SUFFIXES:
            same = stems.get(_key(path.name), [])
        return self._one(folder, same, where)

    def _one(self, folder: str, files: Sequence[str], where: str) -> str | None:
        if len(files) > 1:
            raise DataError(f"{where}: expected one file of that name, got {' and '.join(files)}; rename one")
        return (PurePosixPath(folder) / files[0]).as_posix() if files else None

    def _list(self, folder: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """The files of a folder by name and, images alone, by stem, without regard to case."""
        if folder not in self._listings:
            names: dict[str, list[str]] = {}
            stems: dict[str, list[str]] = {}
            try:
                files = sorted(path.name for path in (self.root / folder).iterdir())
            except OSError:
                files = []
            for file in files:
                names.setdefault(_key(file), []).append(file)
                path = PurePosixPath(file)
                if path.suffix.lower() in IMAGE_SUFFIXES:
                    stems.setdefault(_key(path.stem), []).append(file)
            self._listings[folder] = names, stems
        return self._listings[folder]


def best_folder(candidates: Iterable[Path], names: Sequence[str]) -> Path | None:
    """The folder that holds most of a sample of the names, the first of several; None where none holds one."""
    sample = names[:: max(1, len(names) // _SAMPLE)][:_SAMPLE]
    best, most = None, 0
    for folder in candidates:
        if folder.is_dir():
            root = folder.resolve()
            finder = Finder(root)
            held = sum(_holds(finder, name) for name in sample)
            if held > most:
                best, most = folder, held
            if held == len(sample):
                break
    return best


def folder_of_photographs(file: Path, names: Sequence[str]) -> Path:
    """The folder of an annotation file's photographs: of those beside it and above it, the one that holds them.

    Raises:
        DataError: there is none.
    """
    found = best_folder(folders_near(file), names)
    if found is None:
        found = next((folder for folder in (file.parent / "images", file.parent / file.stem) if folder.is_dir()), None)
    if found is None and next(image_files(file.parent.resolve()), None) is not None:
        found = file.parent
    if found is None:
        raise DataError(
            f"images: expected the folder of the photographs of {file}, got none beside it; name it, as images: D in a recipe or "
            "by --images D"
        )
    return found


def slashed(name: str) -> str:
    """A name of Windows with this system's slashes; its drive is left away."""
    name = name.replace("\\", "/")
    return name[2:] if name[1:2] == ":" and name[2:3] == "/" else name


def _holds(finder: Finder, name: str) -> bool:
    try:
        return os.path.lexists(finder.root / finder.find(name, ""))
    except DataError:
        return False


def _tails(name: str) -> list[str]:
    """What may follow the folder in an absolute path, the longest first."""
    parts = PurePosixPath(name).parts[1:]
    return ["/".join(parts[k:]) for k in range(len(parts)) if ".." not in parts[k:]]


def _key(name: str) -> str:
    """Equal for names that differ in case alone, or in how a system composes its umlauts."""
    return unicodedata.normalize("NFC", name).casefold()


def is_file(path: Path) -> bool:
    """Whether a file is there; a name that no file can have is none, where `Path.is_file` raises `OSError`."""
    return os.path.isfile(path)


def is_folder(path: Path) -> bool:
    """Whether a folder is there, likewise."""
    return os.path.isdir(path)


def is_there(path: Path) -> bool:
    """Whether anything is there, likewise."""
    return os.path.exists(path)


def existing_folder(field: str, folder: Path) -> Path:
    """The folder, resolved.

    Raises:
        DataError: no such folder, or a path that is no text.
    """
    if not is_folder(folder):
        got = "a file" if is_there(folder) else "nothing"
        raise DataError(
            f"{field}: expected a folder, got {got} at {folder}; a recipe's relative paths start at its file"
        )
    return _resolved(field, folder)


def existing_file(field: str, file: Path) -> Path:
    """The file, resolved.

    Raises:
        DataError: no such file, or a path that is no text.
    """
    if not is_file(file):
        got = "a folder" if is_there(file) else "nothing"
        raise DataError(f"{field}: expected a file, got {got} at {file}; a recipe's relative paths start at its file")
    return _resolved(field, file)


def _resolved(field: str, path: Path) -> Path:
    found = path.resolve()
    if not _writable(str(found)):
        raise DataError(f"{field}: expected a path in UTF-8, got {str(found)!r}; rename it")
    return found


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
    if not name or "\0" in name:
        raise DataError(f"{where}: expected a file name, got {name!r}; correct it")
    if not _writable(name):
        raise DataError(f"{where}: expected file names in UTF-8, got {name!r}; rename the file")
    # Strings, not paths: this is asked for each of a hundred thousand files.
    path = os.path.normpath(os.path.join(root, name))
    if is_absolute(name):
        # macOS's /tmp is a link: an absolute path may be the root's own by another name.
        path = (
            path
            if _below(root, path)
            else os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        )
        if not name.startswith("/") or not _below(root, path):
            raise DataError(f"{where}: expected a path inside {root}, got the absolute {name!r}; make it relative")
    if not _below(root, path):
        raise DataError(f"{where}: expected a path inside {root}, got {name!r}; move the file into the folder")
    return "." if path == str(root) else path[len(os.path.join(root, "")) :]


def _below(root: Path, path: str) -> bool:
    """Whether a normalised path is the root or something in it."""
    return path == str(root) or path.startswith(os.path.join(root, ""))


def is_absolute(name: str) -> bool:
    """Whether a name starts at a root or drive of some system, not necessarily this one."""
    return name.startswith(("/", "\\")) or (name[1:2] == ":" and name[0].isalpha())


def leads_out(root: Path, name: str) -> bool:
    """Whether a file inside root is, by a link of its own or of a folder above it, a file outside root."""
    return not Path(os.path.realpath(root / name)).is_relative_to(root)


def image_files(root: Path, folder: str = ".", without: Collection[str] = ()) -> Iterator[str]:
    """Every image file of `files_below`."""
    for name in files_below(root, folder, without):
        if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:
            yield name


def files_of_kind(root: Path, folder: str, suffixes: Collection[str]) -> list[str]:
    """Those of `files_below` with one of these endings, by their paths' parts: a folder stands among files by its name."""
    found = (name for name in files_below(root, folder) if os.path.splitext(name)[1].lower() in suffixes)
    return sorted(found, key=lambda name: name.split("/"))


def files_below(root: Path, folder: str = ".", without: Collection[str] = ()) -> Iterator[str]:
    """Every file below a folder inside root, relative to root, sorted; hidden ones are passed over.

    Links are followed, to folders as well; a folder that holds itself by a link is read once. A file's name need not be
    UTF-8: whoever reads it asks `inside`, and leaves it out.

    Args:
        root: resolved.
        folder: where to start, relative to root.
        without: folders not to enter, relative to root.

    Raises:
        DataError: a folder's name is not UTF-8; classes are called by folders.
    """
    seen: set[str] = set()
    for here, folders, files in os.walk(root / folder, followlinks=True):
        real = os.path.realpath(here)
        relative = "" if Path(here) == root else Path(here).relative_to(root).as_posix() + "/"
        if real in seen:
            folders[:] = []
            continue
        seen.add(real)
        if not _writable(relative):
            raise DataError(f"{root}: expected names of folders in UTF-8, got {relative!r}; rename it")
        folders[:] = sorted(name for name in folders if not name.startswith(".") and relative + name not in without)
        for name in sorted(files):
            if not name.startswith("."):
                yield relative + name


def _writable(name: str) -> bool:
    """Whether a name can stand in a recipe or a report: lone surrogates cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
