"""A target: a linear classifier."""

from typing import Any, Literal

from terse.config import Component
from terse.registry import register


@register("target", "acme_linear")
class LinearConfig(Component):
    """Logits that are linear in the pixels."""

    family = "target"
    kind: Literal["acme_linear"] = "acme_linear"

    def build(self, *, classes: tuple[str, ...], canvas_px: int) -> Any:
        from torch import nn

        from terse.targets.classification_target import ClassificationTarget

        return ClassificationTarget(nn.Sequential(nn.Flatten(), nn.Linear(canvas_px**2, len(classes))), classes)
