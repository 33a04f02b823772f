"""terse: the training images that your vision model still gets wrong.

Names load on first use, so that `terse --help` does not wait for torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from terse.compositing.compose import Pasted, compose
    from terse.errors import TerseError
    from terse.placements import Placements
    from terse.poses import AffinePoses
    from terse.recipe import Recipe, load_recipe
    from terse.run import train
    from terse.sources.run_data import RunData
    from terse.types import Backgrounds, Composites, Foregrounds, Truth

__all__ = [
    "AffinePoses",
    "Backgrounds",
    "Composites",
    "Foregrounds",
    "Pasted",
    "Placements",
    "Recipe",
    "RunData",
    "TerseError",
    "Truth",
    "compose",
    "load_recipe",
    "train",
]

_HOMES = {
    "terse.poses": ("AffinePoses",),
    "terse.compositing.compose": ("Pasted", "compose"),
    "terse.errors": ("TerseError",),
    "terse.recipe": ("Recipe", "load_recipe"),
    "terse.run": ("train",),
    "terse.sources.run_data": ("RunData",),
    "terse.placements": ("Placements",),
    "terse.types": ("Backgrounds", "Composites", "Foregrounds", "Truth"),
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'terse' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
