"""How far apart composites lie in a frozen model's features, from passes that are made anyway."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from terse.results import Diversity

__all__ = ["PooledFeatures", "feature_diversity", "not_collected", "pooled_features"]

_COMPARED = 2000
_COLLECTED = ContextVar("collected", default=True)


def feature_diversity(features: Float[np.ndarray, "n d"], *, seed: int = 0) -> Diversity:
    """Distances between images in a feature space, of at most 2,000 of them.

    Args:
        features: one row an image, for instance the target's pooled features.
        seed: which images are taken where there are more.

    Source: ours.
    """
    if len(features) < 2:
        return Diversity(distance=0.0, nearest=0.0)
    if len(features) > _COMPARED:
        features = features[np.random.default_rng(seed).choice(len(features), _COMPARED, replace=False)]
    rows = np.asarray(features, dtype=np.float64)
    rows = rows - rows.mean(axis=0)  # the differences of large numbers would cancel below
    norms = (rows**2).sum(axis=1)
    squares = np.clip(norms[:, None] + norms[None, :] - 2 * rows @ rows.T, 0, None)
    np.fill_diagonal(squares, np.nan)
    distances = np.sqrt(squares)
    return Diversity(distance=float(np.nanmean(distances)), nearest=float(np.nanmin(distances, axis=1).mean()))


class PooledFeatures:
    """The outputs of each convolution for the images that went through, averaged over the image.

    Source: ours.
    """

    def __init__(self) -> None:
        self._rows: dict[str, list[Tensor]] = {}

    def hook(self, name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        """The forward hook of the convolution of this name."""

        def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
            if output.ndim == 4 and _COLLECTED.get():
                self._rows.setdefault(name, []).append(output.detach().float().mean(dim=(2, 3)).cpu())

        return keep

    def of(self, images: int) -> Float32[np.ndarray, "n d"] | None:
        """The features of so many images from the widest convolution, the last of equally wide ones.

        A head that is shared between scales sees each image several times: it is left out. None where no convolution
        saw each image once.
        """
        once = [rows for rows in self._rows.values() if sum(map(len, rows)) == images]
        if not images or not once:
            return None
        widest = max(enumerate(once), key=lambda found: (found[1][0].shape[1], found[0]))[1]
        return torch.cat(widest).numpy()


@contextmanager
def not_collected() -> Iterator[None]:
    """Images that go through the model inside go through once more: their features are not collected.

    Source: ours.
    """
    before = _COLLECTED.set(False)
    try:
        yield
    finally:
        _COLLECTED.reset(before)


@contextmanager
def pooled_features(module: nn.Module) -> Iterator[PooledFeatures]:
    """Collect the features of a frozen model while images go through it.

    Source: ours, instead of LPIPS (Zhang et al. 2018), whose weights are not ours to ship.
    """
    found = PooledFeatures()
    convolutions = [(name, part) for name, part in module.named_modules() if isinstance(part, nn.Conv2d)]
    handles = [part.register_forward_hook(found.hook(name)) for name, part in convolutions]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
