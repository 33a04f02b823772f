"""Alpha blending: the paper's circled plus."""

from jaxtyping import Float
from torch import Tensor

__all__ = ["blend"]


def blend(
    background: Float[Tensor, "b c h w"],
    premultiplied: Float[Tensor, "b c h w"],
    alpha: Float[Tensor, "b 1 h w"],
) -> Float[Tensor, "b c h w"]:
    """Background (1 - alpha) + colour alpha, the product given already.

    Where alpha is 0 and so is the product, the background keeps its bits.

    Source: paper 3.1, after Porter and Duff 1984 ("over").
    """
    return background * (1 - alpha) + premultiplied
