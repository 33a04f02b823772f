"""What a data set is asked to be: every option of `terse generate`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from terse import registry
from terse.config import Config, Count, Fraction, NonNegative
from terse.errors import RecipeError
from terse.recipe import Blend

__all__ = ["GenerateSettings"]


class GenerateSettings(Config):
    """Everything that decides what the set holds. The number of workers is not here: it changes nothing."""

    count: Count
    """Images."""
    format: str = "coco"
    """coco, voc, yolo, webdataset, or an exporter of an installed package."""
    seed: NonNegative = 0
    objects: tuple[NonNegative, NonNegative] = (1, 1)
    """Fewest and most objects pasted into an image; each number is equally likely."""
    quota: dict[str, NonNegative] = Field(default_factory=dict)
    """Objects of each class in the whole set, exactly; what is left goes to the other classes in equal parts."""
    hardness: tuple[Fraction, Fraction] | None = None
    """Keep only composites whose hardness for the target is in this window; needs a trained run."""
    max_overlap: Fraction = 0.5
    """Largest share of an object, pasted or the background's own, that other pastes may hide."""
    max_truncation: Fraction = 1.0
    """Largest share of a pasted object beyond the border; the poses' own `min_visible` holds besides."""
    min_visible: Fraction = 0.1
    """Objects of which less is seen are marked to be ignored."""
    distractors: tuple[NonNegative, NonNegative] = (0, 0)
    """Fewest and most pastes without a label, from `distractor_classes`."""
    distractor_classes: tuple[str, ...] = ()
    """Classes that are pasted only as distractors."""
    blends: Annotated[tuple[Blend, ...], Field(min_length=1)] = ("alpha",)
    """One is drawn for each image."""
    all_blends: bool = False
    """Draw every scene once with each of the blends, so that a model learns to look past them (Dwibedi et al. 2017)."""
    side_px: Count | None = None
    """Shorter side of the images; null keeps the backgrounds' own size."""
    image: Literal["jpeg", "png", "webp"] = "jpeg"
    quality: Annotated[int, Field(ge=1, le=100)] = 90
    """Of JPEG and WebP."""
    masks: Literal["auto", "rle", "polygon", "box"] = "auto"
    """auto: run lengths in COCO and WebDataset, outlines in YOLO, PNGs in VOC. box: no masks."""
    shard_images: Count | None = None
    """Images a shard, the unit of work; null takes the format's own."""
    tries: Count = 50
    """How often an image is drawn anew when it meets no limit or no hardness window, before it is skipped."""

    @field_validator("format")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            registry.lookup("exporter", name)
        except RecipeError as error:
            raise ValueError(str(error)) from None
        return name

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for name in ("objects", "hardness", "distractors"):
            pair = getattr(self, name)
            if pair is not None and pair[0] > pair[1]:
                raise ValueError(
                    f"{name}: expected the smaller number first, got {pair[0]}..{pair[1]}; turn them round"
                )
        if self.distractors[1] and not self.distractor_classes:
            raise ValueError("distractor_classes: expected classes to take distractors from, got none; name some")
        return self

    @property
    def suffix(self) -> str:
        """Of the image files."""
        return {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}[self.image]
