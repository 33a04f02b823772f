"""A synthesizer: every cut-out in the middle of its background."""

from typing import TYPE_CHECKING, Any, Literal

from terse.config import Component
from terse.registry import register

if TYPE_CHECKING:
    from terse.protocols import Proposer


@register("synthesis", "acme_middle")
class MiddleConfig(Component["Proposer"]):
    """Neutral poses, one object an image."""

    kind: Literal["acme_middle"] = "acme_middle"

    def build(self, context: Any) -> "Proposer":
        return MiddleProposer(context)


class MiddleProposer:
    keeps_hard = False
    module = None
    batch_size = 20

    def __init__(self, context: Any) -> None:
        self.context = context

    def propose(self, count: int, generator: Any) -> Any:
        import numpy as np

        from terse.placements import Placements

        draw = np.random.default_rng(int(generator.initial_seed()))
        pose = np.tile(np.mean(self.context.poses.ranges, axis=1), (count, 1))
        background = draw.integers(0, len(self.context.backgrounds), count)
        return Placements.single(background, draw.integers(0, len(self.context.foregrounds), count), pose)
