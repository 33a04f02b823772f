"""The recipe's `target: {kind: onnx}`: a model in an ONNX file, whose outputs the recipe declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from terse.config import Component, Config, Count, Fraction, InputPath
from terse.registry import register

if TYPE_CHECKING:
    from terse.protocols import Judges

__all__ = ["OnnxConfig", "OutputsConfig"]

_LAYOUTS = (
    {"logits"},
    {"probabilities"},
    {"boxes", "scores"},
    {"boxes", "scores", "labels"},
    {"rows"},
    {"raw"},
)


class OutputsConfig(Config):
    """The names of the file's outputs, by what they hold. A classifier has one of the first two."""

    logits: str | None = None
    """(images, classes), before the softmax."""
    probabilities: str | None = None
    """(images, classes)."""
    boxes: str | None = None
    """(images, n, 4), beside `scores`."""
    scores: str | None = None
    """(images, n) beside `labels`, the label of each box; (images, n, classes) without."""
    labels: str | None = None
    """(images, n)."""
    rows: str | None = None
    """(images, n, 6): a box, its score and its label in one row."""
    raw: str | None = None
    """(images, 4 + classes, n) or (images, n, 4 + classes): a box and the scores of all classes, before suppression;
    `objectness` says whether it stands between them."""

    @model_validator(mode="after")
    def _one_layout(self) -> OutputsConfig:
        given = set(self.names)
        if given not in _LAYOUTS:
            known = "; ".join(" and ".join(sorted(one)) for one in _LAYOUTS)
            raise ValueError(f"expected one of: {known}; got {' and '.join(sorted(given)) or 'none'}")
        return self

    @property
    def names(self) -> dict[str, str]:
        """The outputs that are declared."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}


@register("target", "onnx")
class OnnxConfig(Component["Judges"]):
    """A detector or classifier in an ONNX file: a black box that judges, and is trained elsewhere."""

    extra: ClassVar[str] = "onnx"
    kind: Literal["onnx"] = "onnx"
    weights: InputPath
    """The ONNX file."""
    outputs: OutputsConfig
    """What its outputs hold: `{logits: NAME}`, `{boxes: NAME, scores: NAME, labels: NAME}`, `{raw: NAME}`."""
    box: Literal["xyxy", "xywh", "cxcywh"] = "xyxy"
    """How a box is written: two corners, a corner and a size, or a centre and a size."""
    unit: Literal["pixels", "shares"] = "pixels"
    """Of boxes: pixels of the network's input, or shares of it."""
    image_size_px: Count | None = None
    """Side that images are resized to; null takes the file's own where it has a fixed one, else the canvas."""
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    """Taken from images in [0, 1] before `std` divides them; a network of grey images has one number."""
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    """0.00392 where the network wants 0 to 255 in floating point; a network of uint8 gets them so, without mean and std."""
    channels_last: bool = False
    """Whether the input is (images, height, width, channels)."""
    objectness: bool = False
    """Whether raw outputs have objectness behind the box, as YOLOv5's and YOLOX's: (images, n, 5 + classes), and the scores
    of the classes are multiplied by it."""
    labels: dict[str, int] | None = None
    """The model's own label of each class; null counts the classes from 0."""
    suppress: Fraction | None = None
    """Overlap (IoU) from which on the lower of two boxes of a class is left out of `predict`: 0.5 for raw outputs."""
    min_score: Annotated[float, Field(ge=0, lt=1)] = 0.001
    """Lower scores are left out of `predict`."""

    @field_validator("objectness")
    @classmethod
    def _of_raw(cls, objectness: bool, info: ValidationInfo) -> bool:
        outputs = info.data.get("outputs")
        if objectness and outputs is not None and outputs.raw is None:
            raise ValueError(
                f"expected false, because the outputs {' and '.join(outputs.names)} have none, got True; only raw ones can"
            )
        return objectness

    def build(self, *, classes: tuple[str, ...], canvas_px: int) -> Judges:
        """The target; a few images are run through the file to see that its outputs are what was declared.

        Raises:
            RecipeError: outputs, labels or a side that the file does not have.
            DataError: no such file, or no ONNX.
            MissingExtra: onnxruntime is not installed.
        """
        from terse.targets.onnx.target import OnnxClassifier, OnnxDetector

        names = self.outputs.names
        kind = OnnxClassifier if {"logits", "probabilities"} & set(names) else OnnxDetector
        return kind(self, classes, canvas_px)
