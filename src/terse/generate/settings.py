"""What a data set is asked to be: the options of `terse generate`, for the command line and Python alike.

A field's type is its constraint, the string below it its help. The flag is named after the field unless `Flag` says
otherwise; ranges may be written 1..3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from terse import registry
from terse.config import Config, Count, Fraction, NonNegative, known_kind
from terse.errors import RecipeError
from terse.export.sample import ExportConfig
from terse.recipe_parts import BLENDS, Blend
from terse.requests import LEAST_VISIBLE, Limits

__all__ = ["Flag", "GenerateSettings"]


@dataclass(frozen=True, slots=True)
class Flag:
    """How a field is called on the command line."""

    name: str


def _range(kind: type[int | float]) -> Callable[[Any], Any]:
    def read(given: Any) -> Any:
        """`1..3` or `2` to a pair; anything else is left to the type."""
        if not isinstance(given, str):
            return given
        low, dots, high = given.partition("..")
        try:
            return kind(low), kind(high if dots else low)
        except ValueError:
            raise ValueError(f"expected a number or LOW..HIGH, got {given!r}; for example 1..3") from None

    return read


def _quota(given: Any) -> Any:
    """`NAME=COUNT` items to a mapping; anything else is left to the type."""
    if not isinstance(given, list):
        return given
    found = {}
    for text in given:
        name, equals, number = str(text).rpartition("=")
        if not equals or not name or not number.isdecimal():
            raise ValueError(f"expected NAME=COUNT, got {text!r}; for example dog=500")
        found[name] = int(number)
    return found


def _split(given: Any) -> Any:
    """`alpha,box` items to names, each once; anything else is left to the type."""
    return tuple(dict.fromkeys(n for item in given for n in item.split(","))) if isinstance(given, list) else given


Numbers = Annotated[tuple[NonNegative, NonNegative], BeforeValidator(_range(int))]
Shares = Annotated[tuple[Fraction, Fraction], BeforeValidator(_range(float))]
Blends = Annotated[tuple[Blend, ...], Field(min_length=1), BeforeValidator(_split)]

_OF_ARM = (
    "objects",
    "distractors",
    "distractor_classes",
    "occluders",
    "blends",
    "all_blends",
    "max_overlap",
    "max_truncation",
)


class GenerateSettings(Config):
    """Everything that decides what the set holds. The number of workers is not here: it changes nothing.

    What is None is as the arm has it in training; `limits` says what that comes to.
    """

    count: Annotated[int, Field(ge=1, le=10**8)]  # names have eight digits, from 0
    """Images; with --cycle the composites that the cycle is to find, by default the recipe's `pool.per_cycle`."""
    format: Annotated[str, known_kind("exporter")] = "coco"
    """coco, voc, yolo, yolo_pose, semantic, webdataset, imagefolder, or an exporter of an installed package."""
    seed: NonNegative = 0
    """Another seed is another set."""
    objects: Numbers | None = None
    """Objects an image, 2 or 1..3, each number equally likely; the arm's own by default, else 1."""
    quota: Annotated[dict[str, NonNegative], BeforeValidator(_quota)] = Field(default_factory=dict)
    """Objects of a class in the whole set, exactly, as NAME=COUNT; may be given several times. What is left goes to
    the other classes in equal parts."""
    hardness: Shares | None = None
    """Keep composites whose hardness for the target is in this window, as 0.5..1.0; needs a run."""
    max_overlap: Fraction | None = None
    """Largest share of an object, pasted or the background's own, that other pastes may hide; the arm's own by
    default, else 0.5."""
    max_truncation: Fraction | None = None
    """Largest share of a pasted object beyond the border; the arm's own by default. The poses' `min_visible` holds
    besides."""
    min_visible: Fraction = LEAST_VISIBLE
    """Objects of which less is seen are marked to be ignored."""
    distractors: Numbers | None = None
    """Pastes without a label, 2 or 0..3; the arm's own by default, else 0."""
    distractor_classes: Annotated[tuple[str, ...] | None, Flag("distractor-class")] = None
    """Class that is pasted only as a distractor; may be given several times."""
    occluders: Numbers | None = None
    """Pastes without a label in front of the backgrounds' own objects, 1 or 0..2; the arm's own by default, else 0."""
    blends: Annotated[Blends | None, Flag("blend")] = None
    """alpha, gaussian, box, motion, none or poisson; may be given several times, and several are mixed. The arm's own by
    default, else alpha."""
    all_blends: bool | None = None
    """Draw every scene once with each blend, so that a model learns to look past them (Dwibedi et al. 2017)."""
    side_px: Annotated[Count | None, Flag("side")] = None
    """Shorter side of the images in pixels; the backgrounds' own size by default."""
    image: Literal["jpeg", "png", "webp"] = "jpeg"
    """File format of the images."""
    quality: Annotated[int, Field(ge=1, le=100)] = 90
    """Of JPEG and WebP, 1 to 100."""
    masks: Literal["auto", "rle", "polygon", "box"] = "auto"
    """rle (exact), polygon or box (no masks), as far as the format holds them; auto is the format's best."""
    with_real: bool = False
    """Write the real images too: the recipe's train images beside the composites, and its val images as a val of
    their own, so that a trainer can start from the folder."""
    shard_images: Annotated[Count | None, Flag("")] = None
    """Images a shard, the unit of work; None takes the format's own."""
    tries: Count = 50
    """How often an image is drawn anew when it meets no limit or no hardness window, before it is skipped."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for name in ("objects", "hardness", "distractors", "occluders"):
            pair = getattr(self, name)
            if pair is not None and pair[0] > pair[1]:
                raise ValueError(f"{name}: expected the smaller number first, got {pair[0]}..{pair[1]}; swap them")
        return self

    def require_form(self) -> None:
        """See that the format holds masks of the form that is asked for.

        Raises:
            RecipeError: it does not.
        """
        config = registry.lookup("exporter", self.format)
        forms = ("auto", *getattr(config, "mask_forms", ExportConfig.mask_forms))
        if self.masks not in forms:
            known = " or ".join(filter(None, (", ".join(forms[:-1]), forms[-1])))
            raise RecipeError(f"masks: expected {known} for {self.format}, got {self.masks}; coco holds every form")

    @property
    def suffix(self) -> str:
        """Of the image files."""
        return {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}[self.image]

    def limits(self, arm: Limits, classes: tuple[str, ...]) -> Limits:
        """What is asked for; where nothing is, what the arm has in training.

        Args:
            arm: the arm's limits.
            classes: of the foregrounds.

        Raises:
            RecipeError: distractors without classes, or of a class that there is not.
        """
        given = {name: getattr(self, name) for name in _OF_ARM}
        limits = replace(arm, **{name: value for name, value in given.items() if value is not None})
        if self.all_blends and self.blends is None and len(arm.blends) == 1:
            limits = replace(limits, blends=BLENDS)
        for name in limits.distractor_classes:
            if name not in classes:
                near = registry.nearest(name, classes)
                raise RecipeError(f"distractor_classes: expected classes of the foregrounds, got {name!r}{near}")
        if limits.distractors[1] and not limits.distractor_classes:
            raise RecipeError("distractor_classes: expected classes to take distractors from, got none; name some")
        return limits
