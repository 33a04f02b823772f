"""A pose family: upright, moved and scaled."""

from typing import TYPE_CHECKING, Literal

from terse.config import Component
from terse.registry import register

if TYPE_CHECKING:
    from terse.poses import AffinePoses


@register("pose", "acme_upright")
class UprightConfig(Component["AffinePoses"]):
    """Shift and scale alone."""

    kind: Literal["acme_upright"] = "acme_upright"
    scale: tuple[float, float] = (0.9, 1.1)

    def build(self) -> "AffinePoses":
        from terse.poses import AffinePoses

        return AffinePoses((0.0, 0.0), (-1.0, 1.0), (0.0, 0.0), self.scale)
