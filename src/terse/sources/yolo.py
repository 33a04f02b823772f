"""YOLO folders: a text file of fractions for each image, and a file that names classes and splits.

That file is Ultralytics' data.yaml, Darknet's obj.data (CVAT's YOLO 1.1) or classes.txt (Label Studio, labelImg).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from terse.config import SourcePath
from terse.errors import DataError, RecipeError
from terse.registry import register
from terse.sources.annotations import Annotations, Cause, RemarkKind
from terse.sources.documents import lines_of
from terse.sources.finder import (
    Finder,
    existing_file,
    existing_folder,
    image_files,
    inside,
    is_absolute,
    is_file,
    is_folder,
    is_there,
    slashed,
)
from terse.sources.indexing import ImageEntry, Index
from terse.sources.selection import SourceConfig
from terse.sources.yolo_labels import read_labels
from terse.yaml_text import read_yaml_file

__all__ = ["YoloConfig", "is_yolo_yaml", "read_yolo", "yolo_file"]


@register("source", "yolo")
class YoloConfig(SourceConfig):
    """A YOLO data set: its data.yaml, CVAT's obj.data, Label Studio's classes.txt, or the folder that holds it."""

    keeps: ClassVar[bool] = True
    kind: Literal["yolo"] = "yolo"
    yolo: SourcePath
    """The data.yaml, or its folder."""
    split: str = "train"
    """A key of data.yaml: train, val or test."""
    root: SourcePath | None = None
    """The data set's folder, where that is not the data.yaml's: its `path` is then passed over."""

    def _read(self) -> Annotations:
        return read_yolo(self.yolo, self.split, self.root)


@dataclass(frozen=True, slots=True)
class _Set:
    """A data set's own settings, whatever kind of file they stand in."""

    file: str  # its name
    names: Mapping[int, str]
    places: Mapping[str, Any]  # by split
    path: str = ""
    points: tuple[int, int] | None = None
    names_made: str = ""  # where some had to be made, what is said of them


def read_yolo(file: Path, split: str = "train", root: Path | None = None) -> Annotations:
    """The index of one split of a YOLO data set. An image without a label file holds no object.

    Raises:
        DataError: no settings file, no such split, a path outside the data set's folder, or labels all in pixels.
    """
    file = existing_file("yolo", (yolo_file(file) or file / "data.yaml") if file.is_dir() else file)
    made = _settings(file)
    base = existing_folder("root", root) if root is not None else file.parent
    index = Index(f"{base.name}/{split}", base, tuple(made.names.values()))
    if made.names_made:
        index.remark(RemarkKind.READ_AS, made.names_made)
    start = _start(index, made) if root is None else "."
    entries: list[ImageEntry] = []
    owners: dict[str, str] = {}
    for image, where in _images(index, start, made, split):
        label = _label_of(base, image)
        if label in owners:
            reason = f"expected labels of its own, got {label}, which {owners[label]} has too; rename one"
            index.skip(image, reason, Cause.FILE)
            continue
        owners[label] = image
        entries.append(ImageEntry(image, where))
    numbered = zip(index.add_images(entries), owners, strict=True)
    files = [(number, label) for number, label in numbered if number is not None and is_file(base / label)]
    read_labels(index, files, base, made.names, made.points)
    if entries and not files:
        index.remark(RemarkKind.UNLABELLED, _where_labels_are(base, list(owners.items())))
    _say_of_turned(index, {number for number, _ in files})
    return index.finish()


def yolo_file(folder: Path) -> Path | None:
    """The file of a folder that holds a YOLO data set's settings; None where there is none.

    Raises:
        DataError: several may be meant.
    """
    if (folder / "data.yaml").is_file():
        return folder / "data.yaml"
    yamls = [file for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]) if is_yolo_yaml(file)]
    found = yamls or sorted(file for file in folder.glob("*.data") if not file.name.startswith("."))
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise DataError(
            f"{folder}: expected one file with a YOLO set's settings, got {names}; give the one that is meant"
        )
    if found:
        return found[0]
    classes = folder / "classes.txt"
    labelled = (folder / "labels").is_dir() or any(file != classes for file in folder.glob("*.txt"))
    return classes if classes.is_file() and labelled else None


def is_yolo_yaml(file: Path) -> bool:
    """Whether a YAML file is a YOLO data set's: it names classes or their number, or images to train on by a path."""
    try:
        settings = read_yaml_file(file, file.name)
    except RecipeError:
        return False
    return "names" in settings or "nc" in settings or isinstance(settings.get("train"), str | list)


def _settings(file: Path) -> _Set:
    if file.name == "classes.txt":  # Label Studio's, with images and labels beside it; labelImg's, among them
        return _Set(file.name, _lines_of(file), {"train": "images" if (file.parent / "images").is_dir() else "."})
    if file.suffix == ".data":  # Darknet's, as CVAT writes it
        return _darknet(file)
    settings = read_yaml_file(file, file.name)
    names, made = _names(file, settings)
    shape = settings.get("kpt_shape")
    sound = (
        isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, int) for n in shape) and shape[1] in (2, 3)
    )
    points = (shape[0], shape[1]) if sound and isinstance(shape, list) else None
    return _Set(file.name, names, settings, str(settings.get("path") or ""), points, made)


def _darknet(file: Path) -> _Set:
    """`key = value` lines; its paths start where the tool that wrote it ran."""
    pairs = [line.partition("=") for line in lines_of(file)]
    values = {key.strip(): value.strip() for key, _, value in pairs}
    named = values.get("names", "obj.names")
    names = file.parent / Finder(file.parent, [named]).find(named, f"{file.name}: names")
    if not names.is_file():
        raise DataError(
            f"{file.name}: names: expected a file with a class on each line, got nothing at {names}; add it"
        )
    return _Set(
        file.name,
        _lines_of(names),
        {"train": values.get("train"), "val": values.get("valid") or values.get("val"), "test": values.get("test")},
    )


def _lines_of(file: Path) -> dict[int, str]:
    """The class of each line, counted from 0; an empty line counts and is none."""
    return {i: line.strip() for i, line in enumerate(lines_of(file)) if line.strip()}


def _names(file: Path, settings: Mapping[str, Any]) -> tuple[dict[int, str], str]:
    """The classes by number, and what is to be said where names had to be made."""
    count = settings.get("nc")
    if settings.get("names") is None and isinstance(count, int) and count > 0:
        numbered = f"{file.name} gives the number of classes (nc) and no names: they are called 0 to {count - 1}"
        return {i: str(i) for i in range(count)}, numbered
    # As text: `null` and `1.10` name classes here, and are no values.
    given = read_yaml_file(file, file.name, words=True).get("names")
    names = dict(enumerate(given)) if isinstance(given, list) else given
    if isinstance(names, dict) and all(str(key).isdecimal() for key in names):
        unnamed = f"{file.name} has classes without a name: they are called by their numbers"
        return {int(key): str(name or key) for key, name in names.items()}, "" if all(names.values()) else unnamed
    raise DataError(f"{file.name}: names: expected a list of classes, got {given!r}; for example names: [person, dog]")


def _start(index: Index, made: _Set) -> str:
    """Where the splits start: data.yaml's `path`, which may lead anywhere on its author's machine.

    Where it leads to nothing here, the set beside the data.yaml is meant.
    """
    path = slashed(made.path) or "."
    try:
        start = inside(index.root, path, f"{made.file}: path")
    except DataError as error:
        if os.path.lexists(index.root / path):
            raise DataError(f"{str(error).rsplit('; ', 1)[0]}; name the data set's folder by root") from None
    else:
        if is_folder(index.root / start):
            return start
    text = f"{made.file}: path leads to {made.path!r}, which is not there; the set beside {made.file} is read"
    index.remark(RemarkKind.READ_AS, text)
    return "."


def _images(index: Index, start: str, made: _Set, split: str) -> Iterator[tuple[str, str]]:
    """The split's images, relative to the base, without repeats, and what names them."""
    base = index.root
    places = {key: made.places.get(key) for key in ("train", "val", "test") if made.places.get(key)}
    if split not in places:
        known = ", ".join(places) or "none"
        raise DataError(f"split: expected a split of {made.file}, got {split!r}; there are {known}")
    seen: set[str] = set()
    for place in _listed(places[split]):
        name = _place(base, start, place, f"{made.file}: {split}")
        if is_folder(base / name):
            found: Iterator[tuple[str, str]] = ((image, f"{made.file}: {split}") for image in image_files(base, name))
        elif is_file(base / name):
            found = _of_list(index, start, name)
        else:
            raise DataError(
                f"{made.file}: {split}: expected a folder of images or a list of them, got nothing at {base / name}; "
                "correct it"
            )
        for image, where in found:
            if image not in seen:
                seen.add(image)
                yield image, where
    for other, value in places.items():
        if other != split and not all(_is_there(base, start, place) for place in _listed(value)):
            index.remark(RemarkKind.READ_AS, f"{made.file} names {other}: {value}, which is not there")


def _listed(places: Any) -> list[str]:
    return [str(place) for place in (places if isinstance(places, list) else [places])]


def _place(base: Path, start: str, place: str, where: str) -> str:
    """A split's folder or list, relative to base.

    Roboflow writes `../train/images` for what lies beside its data.yaml; so does Ultralytics read it.
    """
    if is_absolute(place):
        return Finder(base).find(place, where)
    place = slashed(place)
    stripped = place.removeprefix("../")
    if stripped != place and not is_there(base / start / place) and is_there(base / start / stripped):
        place = stripped
    name = inside(base, f"{start}/{place}", where)
    return name if is_there(base / name) else Finder(base, [name]).find(name, where)


def _is_there(base: Path, start: str, place: str) -> bool:
    try:
        return is_there(base / _place(base, start, place, ""))
    except DataError:
        return False


def _of_list(index: Index, start: str, name: str) -> Iterator[tuple[str, str]]:
    """The images of a list file; its lines start at the list, at the set's `path`, or at the folder of the set."""
    lines = [line.strip() for line in lines_of(index.root / name)]
    finder = Finder(index.root, [line for line in lines if line])
    starts = dict.fromkeys((Path(name).parent.as_posix(), start))
    for i, line in enumerate(lines, 1):
        if not line:
            continue
        where = f"{name}, line {i}"
        try:
            places = [] if is_absolute(line) else [inside(index.root, f"{at}/{slashed(line)}", where) for at in starts]
            yield (
                next((place for place in places if is_file(index.root / place)), None) or finder.find(line, where),
                where,
            )
        except DataError as error:
            index.skip_sentence(str(error), Cause.FILE)


def _label_of(base: Path, image: str) -> str:
    """`images` becomes `labels` in the path, the last time it occurs; else the file stands beside the image."""
    head, found, tail = f"/{image}".rpartition("/images/")
    beside = Path(image).with_suffix(".txt").as_posix()
    label = Path(f"{head}/labels/{tail}"[1:]).with_suffix(".txt").as_posix() if found else beside
    return beside if label != beside and not is_file(base / label) and is_file(base / beside) else label


def _where_labels_are(base: Path, owners: Sequence[tuple[str, str]]) -> str:
    """Where label files were looked for, and the folder that seems to hold them."""
    stems = {Path(image).stem for _, image in owners}
    counts = Counter(file.parent for file in base.rglob("*.txt") if file.stem in stems)
    folder, count = counts.most_common(1)[0] if counts else (base, 0)
    hint = f"; {folder.relative_to(base).as_posix()} holds {count:,} of their names" if count else ""
    return f"no label file was found: looked for {owners[0][0]} of {owners[0][1]}, and so on{hint}"


def _say_of_turned(index: Index, labelled: Collection[int]) -> None:
    """YOLO's files do not give the size that would tell on which pixels the boxes were drawn."""
    turned = [image for image in sorted(labelled) if image in index.turned]
    if turned:
        text = (
            f"{len(turned):,} labelled images are turned by their EXIF, the first being {index.path(turned[0])}: boxes are read "
            "on the turned image, as trainers do; if they were drawn before, save the images without EXIF"
        )
        index.remark(RemarkKind.DOUBT, text)
