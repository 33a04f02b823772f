"""Uniform poses: what `random` and `mined` propose, and what others are compared with."""

from terse.placements import Placements
from terse.requests import Requests
from terse.synthesis.proposer import BaseProposer, pastes_of, uniform_poses

__all__ = ["BlindProposer"]


class BlindProposer(BaseProposer):
    """Poses drawn uniformly from the family's ranges; `mined` keeps only what is hard for the target.

    Source: Tieleman 2013 on digits; blind cut-paste as the paper's baseline (4.1, 4.2).
    """

    def propose(self, requests: Requests) -> Placements:
        """Random foregrounds of the classes wanted, under random poses."""
        pastes = pastes_of(self.materials, requests)
        classes = self.materials.foregrounds.classes
        return self.placed(requests, pastes, uniform_poses(self.materials.poses, pastes.seeds, pastes.label, classes))
