"""Boxes and masks that follow from what was drawn, never from the pose alone."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["boxes_of_masks"]


def boxes_of_masks(masks: Bool[Tensor, "n h w"]) -> Float[Tensor, "n 4"]:
    """The tight half-open xyxy box of each mask; zeros where a mask is empty.

    Source: ours.
    """
    columns, rows = masks.any(dim=1), masks.any(dim=2)
    x0, x1 = _span(columns)
    y0, y1 = _span(rows)
    return torch.stack([x0, y0, x1, y1], dim=1).float()


def _span(hits: Bool[Tensor, "n k"]) -> tuple[Tensor, Tensor]:
    """First and one past the last hit of each row."""
    length = hits.shape[1]
    first = hits.int().argmax(dim=1)
    last = length - hits.flip(1).int().argmax(dim=1)
    some = hits.any(dim=1)
    return torch.where(some, first, 0), torch.where(some, last, 0)
