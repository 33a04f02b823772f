"""Foregrounds onto backgrounds, differentiably.

The one convention, for every function here: NCHW float32 RGB in [0, 1]; straight (not premultiplied) alpha;
`align_corners=False`, so -1 and 1 are the outer pixel edges; angles anticlockwise as seen on the screen; boxes
half-open `xyxy` in pixels. Foreground patches are square and span [-1, 1]; the canvas is measured in the same
unit, its shorter side being 2, so that a pose means the same at every resolution.

Names load on first use, so that the raster path comes without torch.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_FUNCTIONS = ("blend", "compose", "warp")
_HOMES = {
    "terse.compositing.blend": ("blend",),
    "terse.compositing.compose": ("Pasted", "compose"),
    "terse.compositing.edges": ("binary_edges",),
    "terse.compositing.truth": ("boxes_of_masks",),
    "terse.compositing.warp": ("warp",),
    "terse.poses.maps": ("support_points",),
}


class _Package(ModuleType):
    """`compose` and its like are the functions, not the modules of these names, which importing them sets here."""

    def __setattr__(self, name: str, value: Any) -> None:
        is_module = name in _FUNCTIONS and isinstance(value, ModuleType)
        super().__setattr__(name, getattr(value, name) if is_module else value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'terse.compositing' has no attribute {name!r}")
