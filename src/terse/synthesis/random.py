"""Arms without a network: blind pasting, mined pasting, none at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from terse.config import Component, Count
from terse.registry import register
from terse.synthesis.scene import SceneConfig

if TYPE_CHECKING:
    from terse.protocols import Proposer
    from terse.synthesis.materials import Materials

__all__ = ["MinedConfig", "NoneConfig", "RandomConfig"]


class _BlindConfig(SceneConfig, Component["Proposer | None"]):
    judges: ClassVar[bool] = False
    """Whether it asks the target which composites to keep."""
    batch_size: Count = 256
    """Composites looked at together in the harvest."""

    def build(self, materials: Materials) -> Proposer | None:
        """The arm."""
        from terse.synthesis.blind import BlindProposer

        arm = BlindProposer(materials, self.batch_size, self.scene_limits)
        arm.keeps_hard = self.judges
        return arm


@register("synthesis", "random")
class RandomConfig(_BlindConfig):
    """Uniform poses, every composite kept: affNIST's own recipe on digits, blind cut-paste on photographs."""

    kind: Literal["random"] = "random"


@register("synthesis", "mined")
class MinedConfig(_BlindConfig):
    """Uniform poses, only composites that are hard for the target kept."""

    judges: ClassVar[bool] = True
    kind: Literal["mined"] = "mined"


@register("synthesis", "none")
class NoneConfig(_BlindConfig):
    """No synthetic image: the target goes on with as many real ones."""

    kind: Literal["none"] = "none"

    def build(self, materials: Materials) -> Proposer | None:
        """No arm."""
        return None
