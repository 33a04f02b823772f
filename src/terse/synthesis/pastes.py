"""What requests ask to be pasted, before anybody says where."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt64

__all__ = ["Pastes"]


@dataclass(frozen=True, slots=True)
class Pastes:
    """What requests ask to be pasted, flat, in z-order within their image (first is lowest).

    `texture` is the background that a paste takes its colours from, -1 for its own.
    """

    image_index: Int64[np.ndarray, " n"]
    label: Int64[np.ndarray, " n"]
    role: Int64[np.ndarray, " n"]
    foreground: Int64[np.ndarray, " n"]
    seeds: UInt64[np.ndarray, " n"]  # one a paste
    texture: Int64[np.ndarray, " n"]

    def take(self, rows: Int64[np.ndarray, " k"]) -> "Pastes":
        """Some of them, ascending."""
        return Pastes(*(getattr(self, name)[rows] for name in self.__slots__))

    def under(self, above: "Pastes") -> "Pastes":
        """These, and those of the same images above them."""
        order = np.argsort(np.concatenate([self.image_index, above.image_index]), kind="stable")
        return Pastes(*(np.concatenate([getattr(self, name), getattr(above, name)])[order] for name in self.__slots__))
