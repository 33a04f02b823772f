"""The pose families: the parameters of one kind of transform, and the transform. Families chain.

Nothing here imports torch before a family is used, so that a recipe is read at once.
"""

from terse.poses.affine import AffinePoses
from terse.poses.chain import Chain, build_poses
from terse.poses.family import PoseFamily
from terse.poses.posed import Posed, RasterPose

__all__ = ["AffinePoses", "Chain", "PoseFamily", "Posed", "RasterPose", "build_poses"]
