"""What every source of photographs can be asked for: classes, areas, images to leave out, how many."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from terse import registry
from terse.config import Component, InputPath, Names
from terse.errors import DataError
from terse.progress import Observer
from terse.sources.annotations import Annotations
from terse.sources.documents import lines_of
from terse.sources.finder import existing_file
from terse.sources.kept import kept_index
from terse.storage import local_copy
from terse.urls import require_trusted_url, url_of

__all__ = ["SourceConfig"]


class SourceConfig(Component["Annotations"]):
    """The settings that all kinds share. `build()` gives `Annotations`.

    Attributes:
        keeps: what `_read` gives of a large source may be kept in the cache (see `kept.py`): it depends on nothing but the
            settings and the files and folders that they name.
    """

    keeps: ClassVar[bool] = False

    rename: dict[str, str] = Field(default_factory=dict)
    """Other names for the source's classes, before anything else: `{airplane: aeroplane}`; two of one name are one class."""
    classes: Names | None = None
    """Only objects of these classes; null takes all."""
    min_area_px: Annotated[float, Field(ge=0)] = 0.0
    """Objects with a smaller box are ignored: neither pasted nor counted right or wrong."""
    max_area_px: Annotated[float, Field(gt=0)] | None = None
    """As `min_area_px`, for larger ones."""
    without: tuple[str, ...] = ()
    """Leave out images that hold an object of one of these classes."""
    leave_out: InputPath | None = None
    """A text file with the name of an image, or the key of an object, on each line: `terse check` writes one."""
    at_most_images: Annotated[int, Field(ge=1)] | None = None
    """Only so many of these images, drawn by their names: fewer are a part of more, and two sources draw alike."""

    def build(self) -> Annotations:
        """The index of what the settings ask for.

        Raises:
            DataError: the data cannot be read, or lacks what was asked for.
        """
        local = self.local()
        return local._select(kept_index(local._own_settings(), local._read) if local.keeps else local._read())

    def _own_settings(self) -> dict[str, object]:
        """What `_read` depends on."""
        own = [name for name in type(self).model_fields if name == "kind" or name not in SourceConfig.model_fields]
        return {name: getattr(self, name) for name in own}

    def local(self, observer: Observer | None = None) -> SourceConfig:
        """The source with copies on this machine of what it names by URL; the observer hears how far they are.

        Raises:
            RecipeError: the recipe names the URL, and is not trusted.
            TerseError: there is no such file or folder, or no way to it.
        """
        given = ((name, getattr(self, name)) for name in type(self).model_fields)
        urls = {name: url for name, path in given if isinstance(path, Path) and (url := url_of(path)) is not None}
        for name, url in urls.items():
            require_trusted_url(name, url)
        copies = {name: local_copy(url, observer) for name, url in urls.items()}
        if alone := next((name for name, path in copies.items() if path.is_file()), None):
            beside = next((name for name in ("images", "root") if getattr(self, name, "") is None), None)
            if beside is not None:
                raise DataError(
                    f"{beside}: expected it beside {urls[alone]}, got none; what lies beside a URL is not searched"
                )
        return self.model_copy(update=copies) if copies else self

    def _read(self) -> Annotations:
        raise TypeError(f"{type(self).__name__}: expected a reader of its own, got none; override _read")

    def _select(self, annotations: Annotations) -> Annotations:
        _check_classes(annotations, "rename", self.rename)
        annotations = annotations.renamed(self.rename)
        _check_classes(annotations, "without", self.without)
        _check_classes(annotations, "classes", self.classes or ())
        if self.leave_out is not None:
            annotations = _leave_out(annotations, self.leave_out)
        if self.without:
            annotations = annotations.without_images_with(self.without)
        if self.at_most_images is not None:
            annotations = _at_most(annotations, self.at_most_images)
        if self.classes is not None:
            annotations = annotations.with_classes(self.classes)
        if self.min_area_px or self.max_area_px is not None:
            boxes = annotations.boxes_px
            area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
            limit = np.inf if self.max_area_px is None else self.max_area_px
            annotations = annotations.with_ignored((area < self.min_area_px) | (area > limit))
        if not len(annotations):
            raise DataError(f"{annotations.name}: expected at least one image, got none{_first(annotations)}")
        return annotations


def _check_classes(annotations: Annotations, field: str, names: Iterable[str]) -> None:
    for name in names:
        if name not in annotations.classes:
            near = registry.nearest(name, annotations.classes)
            known = ", ".join(annotations.classes[:20]) or "no classes"
            raise DataError(
                f"{field}: expected classes of {annotations.name}, got {name!r}{near or f'; it has {known}'}"
            )


def _first(annotations: Annotations) -> str:
    """What to look at when nothing is left."""
    count = len(annotations.skipped)
    if not count:
        return "; look at the path and at `without`"
    return f" and skipped {count}, the first being {annotations.skipped[0]}"


def _leave_out(annotations: Annotations, file: Path) -> Annotations:
    lines = {line.strip() for line in lines_of(existing_file("leave_out", file))}
    keep_objects = np.array([key not in lines for key in annotations.object_keys], dtype=np.bool_)
    kept = annotations.keep_objects(keep_objects)
    names = zip(annotations.paths, annotations.image_keys, strict=True)
    return kept.keep_images(np.array([not lines & {path, key} for path, key in names], dtype=np.bool_))


def _at_most(annotations: Annotations, count: int) -> Annotations:
    """Images by the order of their names' hashes, which neither other images nor the order of the files change."""
    hashes = [hashlib.sha256(path.encode(errors="surrogateescape")).digest() for path in annotations.paths]
    drawn = sorted(range(len(hashes)), key=lambda image: (hashes[image], image))[:count]
    keep = np.zeros(len(hashes), dtype=np.bool_)
    keep[drawn] = True
    return annotations.keep_images(keep)
