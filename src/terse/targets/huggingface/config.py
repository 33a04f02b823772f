"""The recipe's `target: {kind: huggingface}`: DETR, RT-DETR, D-FINE, YOLOS and their like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from terse.config import Component, Count, InputPath
from terse.registry import register

if TYPE_CHECKING:
    from terse.protocols import Target

__all__ = ["HuggingFaceConfig"]


@register("target", "huggingface")
class HuggingFaceConfig(Component["Target"]):
    """Any detector of transformers' AutoModelForObjectDetection: DETR, RT-DETR, D-FINE, YOLOS; nothing is downloaded."""

    task: ClassVar[str] = "detection"
    extra: ClassVar[str] = "transformers"
    kind: Literal["huggingface"] = "huggingface"
    weights: InputPath | None = None
    """A folder that `save_pretrained` wrote, or a state_dict of the model that `config` describes."""
    config: dict[str, Any] = Field(default_factory=dict)
    """`model_type` and its settings, for a model from nothing; beside a folder, settings over its own."""
    image_size_px: Count | None = None
    """Side that images are resized to; null takes the canvas, so that nothing is resized."""
    labels: dict[str, int] | None = None
    """The detector's own label of each class; null looks the classes up in the folder's `config.json`."""
    lambda_box: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the box error in Eq. 1."""

    def build(self, *, classes: tuple[str, ...], canvas_px: int) -> Target:
        """The target for these classes on this canvas.

        Raises:
            RecipeError: a configuration or labels that do not fit.
            DataError: weights that are not there, or of something else.
            MissingExtra: transformers is not installed.
        """
        from terse.targets.huggingface.build import build_detector

        return build_detector(self, classes, self.image_size_px or canvas_px)
