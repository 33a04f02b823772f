"""From a recipe to data: the banks to paste from and to paste on, and the splits that train and judge the target.

Nothing else reads a recipe's sources, so a data set holds the foregrounds and backgrounds of the run, and no image that
judges it, and a check looks at what a run will have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

from terse.config import Component
from terse.errors import DataError, RecipeError, TerseError
from terse.progress import Observer
from terse.protocols import BackgroundBank, ForegroundBank, RealImages
from terse.recipe import Recipe
from terse.sources.annotations import Annotations
from terse.sources.banks import JoinedImages, PhotoBackgrounds, PhotoImages
from terse.sources.losses import left_to_paste
from terse.sources.meshes import with_views
from terse.sources.photo_foregrounds import PhotoForegrounds
from terse.sources.selection import SourceConfig

if TYPE_CHECKING:
    from terse.types import Backgrounds

__all__ = [
    "PARTS",
    "VAL_FRACTION",
    "PasteData",
    "RunData",
    "hold_out",
    "made_by_caller",
    "open_sources",
    "paste_data",
    "real_images",
    "run_data",
]

# Which images are held out does not depend on the run's seed: runs of several seeds are judged by the same images.
_SPLIT_SEEDS = {"val": 0, "test": 1}
VAL_FRACTION = 0.2
"""Of train, where a recipe names no val."""
PARTS = ("foregrounds", "backgrounds", "train")
"""The sources that a run of photographs needs, by their names in a recipe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PasteData:
    """What there is to paste and to paste on."""

    foregrounds: ForegroundBank
    backgrounds: BackgroundBank
    classes: tuple[str, ...]
    messages: tuple[str, ...] = ()  # what a user should know of the data, shown when a run begins


@dataclass(frozen=True, slots=True, kw_only=True)
class RunData(PasteData):
    """Everything a run needs, splits apart: what a recipe's `data` or its sources build.

    Your own data can be handed over in one of these, with anything that has the methods of
    `terse.protocols.ForegroundBank`, `BackgroundBank` and `RealImages`.
    """

    train: RealImages
    val: RealImages
    test: RealImages
    guide: RealImages | None = None  # of a set of their own, which train holds too; None takes a part of train


def made_by_caller(data: RunData | None) -> RunData | None:
    """The data that a caller handed over, if any.

    Raises:
        DataError: it is something else.
    """
    if data is not None and not isinstance(data, RunData):
        given = f"the class {data.__name__}" if isinstance(data, type) else type(data).__name__
        raise DataError(f"data: expected a terse.RunData, got {given}; what a recipe names needs none")
    return data


def run_data(recipe: Recipe, observer: Observer | None = None) -> RunData:
    """What the recipe's `data` builds, or its sources of photographs; the observer hears how far cleanup is.

    Raises:
        RecipeError: a source is missing.
        DataError: a source cannot be read, nothing is left to paste or to paste on, or the guide has images that judge.
    """
    guide = getattr(getattr(recipe.hardness, "guide", None), "source", None)
    if recipe.data is not None:
        if guide is not None:
            raise RecipeError(
                f"hardness.guide.source: expected null beside data: {recipe.data.kind}, got {guide.kind}; "
                "hardness.guide.fraction takes a part of its real images"
            )
        return recipe.data.build()
    for name in PARTS:
        if getattr(recipe, name) is None:
            raise RecipeError(f"{name}: expected a source of images, got nothing; see `terse recipes` or `terse init`")
    splits = _splits(recipe, observer)
    foregrounds, backgrounds, messages = _to_paste(recipe, splits, observer)
    if not len(splits["train"]):
        raise DataError(
            "train: expected images that val and test do not hold, got none; "
            "take these from other images, or as smaller fractions of train"
        )
    if guide is not None:
        splits["guide"] = _guide(guide, splits, observer)
        splits["added"] = splits["guide"].without_images_of(splits["train"])
    classes = tuple(recipe.classes or foregrounds.classes)
    side, workers = recipe.canvas_px, recipe.runtime.workers
    if recipe.judged is not None:
        judged = _judged(recipe.judged, classes)
        splits |= {name: splits[name].with_classes(judged) for name in ("val", "test") if name in splits}
    masks = "masks" in recipe.needs
    images = {
        name: PhotoImages(split, classes, canvas_px=side, workers=workers, masks=masks)
        for name, split in splits.items()
        if name != "added" or len(split)
    }
    skipped = [*splits["train"].skipped, *(splits["guide"].skipped if guide is not None else ())]
    return RunData(
        foregrounds=with_views(PhotoForegrounds(foregrounds, classes, patch_px=side, workers=workers)),
        backgrounds=PhotoBackgrounds(backgrounds, classes, canvas_px=side, workers=workers, masks=masks),
        train=JoinedImages(images["train"], images["added"]) if "added" in images else images["train"],
        val=images["val"],
        test=images.get("test", images["val"]),
        guide=images.get("guide"),
        classes=classes,
        messages=tuple(dict.fromkeys((*map(str, skipped), *messages))),  # train may be the foregrounds as well
    )


def paste_data(recipe: Recipe, *, everything: bool = False, observer: Observer | None = None) -> PasteData:
    """The foregrounds and backgrounds that a run of the recipe has, also where the recipe names nothing to train on.

    Args:
        recipe: a source of images to train on or to judge by is read only to hold its images out.
        everything: neither hold out nor clean up: for placements made before, which name what they need.
        observer: hears how far copies of files at URLs and cleanup are.

    Raises:
        RecipeError: a source is missing.
        DataError: a source cannot be read, or nothing is left to paste or to paste on.
    """
    if recipe.data is not None:
        return recipe.data.build()
    for name in PARTS[:2]:
        if getattr(recipe, name) is None:
            setting = "cutouts" if name == "foregrounds" else "images"  # plain photographs have no masks
            raise RecipeError(f"{name}: expected a source, got nothing; for example {name}.{setting}=FOLDER")
    splits = None if everything else _splits(recipe, observer)
    foregrounds, backgrounds, messages = _to_paste(recipe, splits, observer, every_class=False)
    # A set labels whatever its backgrounds hold; a run's target knows the foregrounds' classes.
    classes = tuple(dict.fromkeys(recipe.classes or (*foregrounds.classes, *backgrounds.classes)))
    side, workers = recipe.canvas_px, recipe.runtime.workers
    return PasteData(
        foregrounds=with_views(
            PhotoForegrounds(foregrounds, classes, patch_px=side, workers=workers, every_class=False)
        ),
        backgrounds=PhotoBackgrounds(backgrounds, classes, canvas_px=side, workers=workers),
        classes=classes,
        messages=messages,
    )


def real_images(recipe: Recipe, classes: tuple[str, ...]) -> dict[str, BackgroundBank]:
    """The images of `train` and `val` as `run_data` splits them, at their own size, with masks where they have any.

    Raises:
        RecipeError: the recipe names none.
        DataError: they cannot be read.
    """
    if recipe.data is not None:
        data = recipe.data.build()
        return {"train": _AsBackgrounds(data.train, "train"), "val": _AsBackgrounds(data.val, "val")}
    if recipe.train is None:
        raise RecipeError(
            "with_real: expected a recipe that names real images to train on, got none; "
            "for example train.coco=F train.images=D"
        )
    splits = _splits(recipe)
    return {
        name: PhotoBackgrounds(splits[name], classes, canvas_px=recipe.canvas_px)
        for name in ("train", "val")
        if len(splits[name])
    }


class _AsBackgrounds:
    """Real images as a bank of backgrounds."""

    def __init__(self, images: RealImages, name: str) -> None:
        self.images = images
        self.keys: Sequence[str] = tuple(f"{name}:{i}" for i in range(len(images)))

    def __len__(self) -> int:
        return len(self.images)

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> Backgrounds:
        from terse.types import Backgrounds

        return Backgrounds(*self.images.fetch(indices))


def open_sources(
    recipe: Recipe,
    *names: str,
    broken: dict[str, TerseError] | None = None,
    observer: Observer | None = None,
) -> dict[str, Annotations]:
    """Those of these sources that the recipe names, as they are read; `train` without what is held out of it.

    Args:
        recipe: names the sources.
        names: which ones; val and test are also there where `train` is asked for and they are fractions of it.
        broken: takes the errors of sources that cannot be read, by name; without it the first is raised.
        observer: hears how far copies of files at URLs are.

    Raises:
        DataError: a source cannot be read.
    """
    parts: dict[str, Annotations] = {}
    for name in names:
        source = getattr(recipe, name)
        if source is None or isinstance(source, float):
            continue
        try:
            parts[name] = (source.local(observer) if isinstance(source, SourceConfig) else source).build()
        except TerseError as error:
            if broken is None:
                raise
            broken[name] = error
    if "train" in parts:
        shares = {"val": VAL_FRACTION if recipe.val is None else recipe.val, "test": recipe.test}
        parts |= hold_out(parts["train"], {name: share for name, share in shares.items() if isinstance(share, float)})
    return parts


def hold_out(train: Annotations, shares: Mapping[str, float]) -> dict[str, Annotations]:
    """`train` without these fractions of its images, and these by name: val before test, the same for every seed."""
    parts = {"train": train}
    for name in (name for name in _SPLIT_SEEDS if name in shares):
        parts[name], parts["train"] = parts["train"].split(shares[name], _SPLIT_SEEDS[name])
    return parts


def _splits(recipe: Recipe, observer: Observer | None = None) -> dict[str, Annotations]:
    """The images that train and judge, as far as the recipe names them; no image of train judges."""
    parts = open_sources(recipe, "train", "val", "test", observer=observer)
    if "train" in parts:
        parts["train"] = parts["train"].without_images_of(*_judges(parts))
    return parts


def _guide(source: Component[Annotations], splits: Mapping[str, Annotations], observer: Observer | None) -> Annotations:
    """The real images that steer `hardness: helpful`.

    Raises:
        DataError: they cannot be read, or val or test holds some of them.
    """
    guide = (source.local(observer) if isinstance(source, SourceConfig) else source).build()
    shared = len(guide) - len(guide.without_images_of(*_judges(splits)))
    if shared:
        raise DataError(
            f"hardness.guide.source: expected real images that val and test do not hold, got {shared} of theirs; "
            "nothing that judges may steer: leave them out, or take hardness.guide.fraction of train"
        )
    return guide


def _judged(names: Sequence[str], classes: Sequence[str]) -> Sequence[str]:
    unknown = [name for name in names if name not in classes]
    if unknown:
        raise RecipeError(
            f"judged: expected some of the task's classes, got {unknown[0]!r}; they are {', '.join(classes)}"
        )
    return names


def _judges(splits: Mapping[str, Annotations]) -> list[Annotations]:
    return [splits[name] for name in ("val", "test") if name in splits]


def _to_paste(
    recipe: Recipe,
    splits: Mapping[str, Annotations] | None,
    observer: Observer | None,
    *,
    every_class: bool = True,
) -> tuple[Annotations, Annotations, tuple[str, ...]]:
    """Foregrounds and backgrounds without the images that judge, cleaned up, and what was left out; None keeps all.

    Raises:
        DataError: nothing is left of them.
    """
    # The callers have seen that both are named.
    sources = open_sources(recipe, "foregrounds", "backgrounds", observer=observer)
    foregrounds, backgrounds = sources["foregrounds"], sources["backgrounds"]
    messages = [str(item) for part in (foregrounds, backgrounds) for item in part.skipped]
    if splits is None:
        return foregrounds, backgrounds, tuple(messages)
    masked, images = int(foregrounds.masked.sum()), len(backgrounds)
    if masked and not foregrounds.without_images_of(*_judges(splits)).masked.any():
        raise DataError(
            f"foregrounds: expected masks on images that val and test do not hold, got {masked} that all stand on images "
            "of theirs; take val and test from other images, or as a fraction of train"
        )
    backgrounds = backgrounds.without_images_of(*_judges(splits))
    if images and not len(backgrounds):
        raise DataError(
            f"backgrounds: expected images that val and test do not hold, got {images} that are all theirs; "
            "take val and test from other images, or as a fraction of train"
        )
    workers = recipe.runtime.workers
    left = left_to_paste(foregrounds, _judges(splits), cleanup=recipe.cleanup, workers=workers, observer=observer)
    lost = [name for name in left.losses.lost if recipe.classes is None or name in recipe.classes]
    if lost and (every_class or not left.annotations.usable.any()):
        raise DataError(left.refusal(lost))
    return left.annotations, backgrounds, (*messages, *left.messages, *map(left.farewell, lost))
