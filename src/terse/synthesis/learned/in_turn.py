"""Several pastes an image, posed one after another: the head sees what stands already, pooled to its grid."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from terse.compositing.warp import warp
from terse.poses import PoseFamily
from terse.synthesis.pastes import Pastes
from terse.types import Foregrounds

__all__ = ["Occupancy", "Shapes", "in_turn", "shapes_of"]

_SHAPE_PX = 32
_FINE = 4  # cells of the map along each side of a cell of the head's grid

Shapes = tuple[Float[Tensor, "n 1 32 32"], Float[Tensor, "n points 2"]]
"""Masks shrunk to 32 px, and the outermost points of the whole ones: what decides how much a paste covers."""


def shapes_of(cut: Foregrounds) -> Shapes:
    """The shapes of these foregrounds.

    Source: ours.
    """
    return functional.adaptive_avg_pool2d(cut.alpha, _SHAPE_PX), cut.hull


class Occupancy:
    """How much of each cell of the head's grid is covered by the pastes that stand already.

    Backgrounds' own objects are not in it: the head sees them in the background's features. No gradient passes.

    Args:
        poses: of the pastes.
        size_px: width and height of each canvas; only their ratio counts.
        grid: rows and columns of the head's grid.
        device: of the map.

    Source: ours.
    """

    def __init__(
        self, poses: PoseFamily, size_px: Int64[np.ndarray, "b 2"], grid: tuple[int, int], device: torch.device | str
    ) -> None:
        self._poses = poses
        half = size_px / size_px.min(axis=1, keepdims=True)
        self._half = torch.from_numpy(half).float().to(device)
        self._fine = torch.zeros(len(size_px), 1, grid[0] * _FINE, grid[1] * _FINE, device=device)

    def at(self, images: Int64[np.ndarray, " m"]) -> Float[Tensor, "m 1 gh gw"]:
        """The map of these images, in [0, 1]."""
        return functional.avg_pool2d(self._fine[torch.from_numpy(images)], _FINE)

    @torch.no_grad()
    def add(self, images: Int64[np.ndarray, " m"], shapes: Shapes, pose: Float[Tensor, "m k"]) -> None:
        """One more paste stands in each of these images; poses may be joint ones."""
        rows = torch.from_numpy(images).to(self._fine.device)
        masks, hull = shapes
        where = self._poses.place(pose[:, : self._poses.size].float(), hull, *self._half[rows].unbind(dim=1))
        size_px = (self._fine.shape[-2], self._fine.shape[-1])
        self._fine[rows] = torch.maximum(self._fine[rows], warp(masks, where, size_px))


def in_turn(
    pastes: Pastes,
    occupancy: Occupancy,
    shapes: Shapes,
    head: Callable[[Int64[np.ndarray, " m"], Float[Tensor, "m 1 gh gw"]], Float[Tensor, "m k"]],
    mapped: Callable[[Float[Tensor, "m k"], Int64[np.ndarray, " m"]], Float[Tensor, "m k"]],
    *,
    whole_batch: bool,
) -> Float[Tensor, "n k"]:
    """The raw poses of pastes, those below first.

    Args:
        pastes: in z-order; every image has one.
        occupancy: of their images, empty.
        shapes: of each paste.
        head: raw poses of these pastes over what stands in their images.
        mapped: raw poses of foregrounds with these labels to poses.
        whole_batch: an image that has no paste left passes with its first one, whose answer is dropped: BatchNorm's
            batch statistics are then of as many pairs at every turn.

    Source: ours.
    """
    first = np.searchsorted(pastes.image_index, np.arange(pastes.image_index[-1] + 1))
    rank = np.arange(len(pastes.image_index)) - first[pastes.image_index]
    raws, order = [], []
    for turn in range(int(rank.max()) + 1):
        rows = np.flatnonzero(rank == turn)
        images = pastes.image_index[rows]
        asked = rows
        if whole_batch:
            asked = first.copy()
            asked[images] = rows
        raw = head(asked, occupancy.at(pastes.image_index[asked]))
        raw = raw[torch.from_numpy(images)] if whole_batch else raw
        own = torch.from_numpy(rows).to(shapes[0].device)
        occupancy.add(images, (shapes[0][own], shapes[1][own]), mapped(raw.detach(), pastes.label[rows]))
        raws.append(raw)
        order.append(rows)
    back = torch.from_numpy(np.argsort(np.concatenate(order)))
    return torch.cat(raws)[back.to(raws[0].device)]
