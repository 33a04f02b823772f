"""How far apart composites lie in a frozen model's features, from passes that are made anyway."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

__all__ = ["PooledFeatures", "pooled_features"]


class PooledFeatures:
    """What each convolution said of the images that went through, the mean over the image.

    Source: ours.
    """

    def __init__(self) -> None:
        self._rows: dict[str, list[Tensor]] = {}

    def hook(self, name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        """The forward hook of a convolution."""

        def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
            if output.ndim == 4:
                self._rows.setdefault(name, []).append(output.detach().float().mean(dim=(2, 3)).cpu())

        return keep

    def of(self, images: int) -> Float32[np.ndarray, "n d"] | None:
        """The widest convolution's rows, the last of equally wide ones; None where none saw each image once.

        A head that is shared between scales sees each image several times: it is left out.
        """
        once = [rows for rows in self._rows.values() if sum(map(len, rows)) == images]
        if not images or not once:
            return None
        widest = max(enumerate(once), key=lambda found: (found[1][0].shape[1], found[0]))[1]
        return torch.cat(widest).numpy()


@contextmanager
def pooled_features(module: nn.Module) -> Iterator[PooledFeatures]:
    """Watch a model while it looks at images.

    Source: ours, in the place of LPIPS (Zhang et al. 2018), whose weights are not ours to ship.
    """
    found = PooledFeatures()
    convolutions = [(name, part) for name, part in module.named_modules() if isinstance(part, nn.Conv2d)]
    handles = [part.register_forward_hook(found.hook(name)) for name, part in convolutions]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
