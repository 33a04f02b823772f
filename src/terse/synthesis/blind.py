"""Random poses: what `random` and `mined` propose, and what others are compared with."""

from terse.placements import Placements
from terse.recipe import Recipe
from terse.requests import Requests
from terse.synthesis.materials import Materials
from terse.synthesis.proposer import BaseProposer, pastes_of, random_poses

__all__ = ["BlindProposer", "base_of"]


class BlindProposer(BaseProposer):
    """Random poses, uniform over the family's ranges unless it says otherwise; `mined` keeps only what is hard for the target.

    Source: Tieleman 2013 on digits; blind cut-paste as the paper's baseline (4.1, 4.2).
    """

    def propose(self, requests: Requests) -> Placements:
        """Random foregrounds of the classes wanted, under random poses."""
        pastes = pastes_of(self.materials, requests)
        classes = self.materials.foregrounds.classes
        return self.placed(requests, pastes, random_poses(self.materials.poses, pastes.seeds, pastes.label, classes))


def base_of(recipe: Recipe, materials: Materials, batch_size: int) -> BlindProposer:
    """The proposer of base composites: random poses, with as many objects and occluders as the recipe's arm pastes.

    Source: ours.
    """
    return BlindProposer(materials, batch_size, getattr(recipe.synthesis, "scene_limits", None))
