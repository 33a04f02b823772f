"""A pose family: upright, moved and scaled."""

from typing import Any, Literal

from terse.config import Component
from terse.registry import register


@register("pose", "acme_upright")
class UprightConfig(Component):
    """Shift and scale alone."""

    family = "pose"
    kind: Literal["acme_upright"] = "acme_upright"
    scale: tuple[float, float] = (0.9, 1.1)

    def build(self) -> Any:
        from terse.compositing import AffinePoses

        return AffinePoses((0.0, 0.0), (-1.0, 1.0), (0.0, 0.0), self.scale)
