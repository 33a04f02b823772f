"""Data sets of composites: a plan, placements from any proposer, shards of pixels and labels.

Names load on first use, so that the settings, which are the flags of a command, come without torch.
"""

from typing import TYPE_CHECKING, Any

from terse.generate.settings import GenerateSettings

if TYPE_CHECKING:
    from terse.generate.make import generate, render
    from terse.generate.trained import Origin, SetPlayers, of_recipe, of_run

__all__ = ["GenerateSettings", "Origin", "SetPlayers", "generate", "of_recipe", "of_run", "render"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    home = {"generate": "make", "render": "make"}.get(name, "trained")
    if name not in __all__:
        raise AttributeError(f"module 'terse.generate' has no attribute {name!r}")
    return getattr(import_module(f"terse.generate.{home}"), name)
