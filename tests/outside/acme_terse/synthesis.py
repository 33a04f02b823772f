"""A synthesizer: every cut-out in the middle of its background."""

from typing import TYPE_CHECKING, Literal

from terse.config import Component
from terse.registry import register

if TYPE_CHECKING:
    from terse.protocols import Proposer
    from terse.synthesis.materials import Materials


@register("synthesis", "acme_middle")
class MiddleConfig(Component["Proposer"]):
    """Neutral poses, one object an image."""

    kind: Literal["acme_middle"] = "acme_middle"

    def build(self, materials: "Materials") -> "Proposer":
        from terse.synthesis.proposer import BaseProposer, pastes_of

        class MiddleProposer(BaseProposer):
            def propose(self, requests):
                pastes = pastes_of(self.materials, requests)
                return self.placed(requests, pastes, self.materials.poses.pose_of(len(pastes.seeds), {}))

        return MiddleProposer(materials, batch_size=20)
