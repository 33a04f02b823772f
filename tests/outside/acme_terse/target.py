"""A target: a linear classifier."""

from typing import TYPE_CHECKING, Literal

from terse.config import Component
from terse.registry import register

if TYPE_CHECKING:
    from terse.protocols import Target


@register("target", "acme_linear")
class LinearConfig(Component["Target"]):
    """Logits that are linear in the pixels."""

    kind: Literal["acme_linear"] = "acme_linear"

    def build(self, *, classes: tuple[str, ...], canvas_px: int) -> "Target":
        from torch import nn

        from terse.targets.classifier.target import ClassificationTarget

        return ClassificationTarget(nn.Sequential(nn.Flatten(), nn.Linear(canvas_px**2, len(classes))), classes)
