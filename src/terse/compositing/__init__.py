"""Foregrounds onto backgrounds, differentiably.

The one convention, for every function here: NCHW float32 RGB in [0, 1]; straight (not premultiplied) alpha;
`align_corners=False`, so -1 and 1 are the outer pixel edges; angles anticlockwise as seen on the screen; boxes
half-open `xyxy` in pixels. Foreground patches are square and span [-1, 1]; the canvas is measured in the same
unit, its shorter side being 2, so that a pose means the same at every resolution.
"""

from terse.compositing.blend import blend
from terse.compositing.compose import Pasted, compose
from terse.compositing.edges import binary_edges
from terse.compositing.truth import boxes_of_masks
from terse.compositing.warp import warp
from terse.poses.maps import support_points

__all__ = [
    "Pasted",
    "binary_edges",
    "blend",
    "boxes_of_masks",
    "compose",
    "support_points",
    "warp",
]
