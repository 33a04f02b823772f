"""Frozen features of foregrounds and backgrounds, each image seen once: what a critic knows of a pair's images.

No pass of the target is spent on them, so a black box needs no more than its verdicts. Images are seen in blocks of
fixed numbers, so a feature does not depend on which were asked for before.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn
from torch.nn import functional

from terse.draws import integers, seeds_of
from terse.synthesis.materials import Materials

__all__ = ["CutOutFeatures", "Frozen", "FrozenFeatures", "MapFeatures"]

_BLOCK = 64
_INPUT_PX = 28
_GRID = 3
_MAP_PX = 8
_LEAST_LOG = -12.0


@runtime_checkable
class Frozen(Protocol):
    """Who describes images; its weights do not change from the first call on."""

    def of_foregrounds(self, premultiplied: Float[Tensor, "b c h w"], alpha: Float[Tensor, "b 1 h w"]) -> Tensor:
        """A row of numbers for each cut-out."""
        ...

    def of_backgrounds(self, images: Float[Tensor, "b c h w"]) -> Tensor:
        """A map of channels for each background."""
        ...


class CutOutFeatures:
    """A small convolutional classifier of the cut-outs' own classes, and the background's colours.

    On digits it does nearly as well as the target's own features (docs/results/critic.md), which cost a pass of the
    target for each cut-out.

    Source: ours.
    """

    def __init__(self, materials: Materials, steps: int, batch: int = 64) -> None:
        bank = materials.foregrounds
        self._device = materials.device
        planes = bank.fetch(np.array([0])).images.shape[1] + 1
        devices = [torch.device(self._device)] if torch.device(self._device).type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(materials.seed)
            self._body = _small_network(planes).to(self._device)
            self._head = nn.Linear(50, len(bank.classes)).to(self._device)
        self._learn(materials, steps, batch)

    @torch.enable_grad()
    def _learn(self, materials: Materials, steps: int, batch: int) -> None:
        bank = materials.foregrounds
        parameters = [*self._body.parameters(), *self._head.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=1e-3)
        for step in range(steps):
            rows = integers(seeds_of(materials.seed, "cut-outs", step, count=batch), "row", len(bank))
            cut = bank.fetch(rows).to(self._device)
            loss = functional.cross_entropy(
                self._head(self._body(_planes(cut.images * cut.alpha, cut.alpha))), cut.labels
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    @torch.no_grad()
    def of_foregrounds(self, premultiplied: Float[Tensor, "b c h w"], alpha: Float[Tensor, "b 1 h w"]) -> Tensor:
        """The penultimate layer, and the log-probability of each class."""
        seen = self._body(_planes(premultiplied, alpha))
        return torch.cat([seen, self._head(seen).log_softmax(dim=1).clamp(min=_LEAST_LOG)], dim=1)

    def of_backgrounds(self, images: Float[Tensor, "b c h w"]) -> Tensor:
        """The colours, shrunk."""
        return images


class MapFeatures:
    """The map of a frozen backbone, reduced to a few channels by a fixed random projection.

    Source: ours, after Johnson and Lindenstrauss 1984.
    """

    def __init__(self, low_level: Callable[[Tensor], Tensor], channels: int, seed: int) -> None:
        self._low_level, self._channels, self._seed = low_level, channels, seed
        self._projection: Tensor | None = None

    def of_foregrounds(self, premultiplied: Float[Tensor, "b c h w"], alpha: Float[Tensor, "b 1 h w"]) -> Tensor:
        """The mean of the map."""
        return self._seen(premultiplied).mean(dim=(2, 3))

    def of_backgrounds(self, images: Float[Tensor, "b c h w"]) -> Tensor:
        """The map."""
        return self._seen(images)

    @torch.no_grad()
    def _seen(self, images: Tensor) -> Tensor:
        seen = self._low_level(images)
        if self._projection is None:
            drawn = torch.randn(self._channels, seen.shape[1], generator=torch.Generator().manual_seed(self._seed))
            self._projection = (drawn / seen.shape[1] ** 0.5)[..., None, None].to(seen)
        return functional.conv2d(seen, self._projection)


class FrozenFeatures:
    """What is known of foregrounds, and of backgrounds under a pasted region; each image is seen once.

    Source: ours.
    """

    def __init__(self, materials: Materials, make: Callable[[], Frozen]) -> None:
        self._materials, self._make = materials, make
        self._frozen: Frozen | None = None
        self._fore = _Table(len(materials.foregrounds), self._of_foregrounds)
        self._back = _Table(len(materials.backgrounds), self._of_backgrounds)

    def __call__(
        self,
        foreground: Int64[np.ndarray, " n"],
        background: Int64[np.ndarray, " n"],
        pose: Float64[np.ndarray, "n k"],
    ) -> Float[Tensor, "n d"]:
        """Of each paste: its foreground's features, where it lands, and the background's on a grid there."""
        features, hull = self._fore.rows(foreground)
        (maps,) = self._back.rows(background)
        side = self._materials.canvas_px
        box = self._materials.poses.extent(torch.from_numpy(pose).float(), hull, (side, side)).float()
        low, high = box[:, :2] / side * 2 - 1, box[:, 2:] / side * 2 - 1
        steps = (torch.arange(_GRID) + 0.5) / _GRID
        x = low[:, :1] + (high - low)[:, :1] * steps
        y = low[:, 1:] + (high - low)[:, 1:] * steps
        grid = torch.stack([x[:, None].expand(-1, _GRID, -1), y[:, :, None].expand(-1, -1, _GRID)], dim=-1)
        under = functional.grid_sample(maps, grid, padding_mode="border", align_corners=False).flatten(1)
        return torch.cat([features, low, high, under], dim=1)

    @property
    def seen(self) -> tuple[int, int]:
        """How many foregrounds and backgrounds were looked at."""
        return self._fore.known, self._back.known

    @property
    def _describe(self) -> Frozen:
        if self._frozen is None:
            self._frozen = self._make()
        return self._frozen

    def _of_foregrounds(self, numbers: Int64[np.ndarray, " b"]) -> tuple[Tensor, ...]:
        cut = self._materials.foregrounds.fetch(numbers).to(self._materials.device)
        return self._describe.of_foregrounds(cut.images * cut.alpha, cut.alpha).cpu(), cut.hull.cpu()

    def _of_backgrounds(self, numbers: Int64[np.ndarray, " b"]) -> tuple[Tensor, ...]:
        images = self._materials.backgrounds.fetch(numbers).to(self._materials.device).images
        return (functional.adaptive_avg_pool2d(self._describe.of_backgrounds(images), _MAP_PX).cpu(),)


class _Table:
    """Rows by number, made in blocks when they are first asked for."""

    def __init__(self, count: int, make: Callable[[Int64[np.ndarray, " b"]], tuple[Tensor, ...]]) -> None:
        self._count, self._make = count, make
        self._there = np.zeros(-(-count // _BLOCK), dtype=bool)
        self._columns: list[Tensor] = []

    @property
    def known(self) -> int:
        return min(self._count, int(self._there.sum()) * _BLOCK)

    def rows(self, numbers: Int64[np.ndarray, " n"]) -> list[Tensor]:
        blocks = np.unique(numbers // _BLOCK)
        for block in blocks[~self._there[blocks]].tolist():
            whole = np.arange(block * _BLOCK, min((block + 1) * _BLOCK, self._count))
            made = self._make(whole)
            if not self._columns:
                self._columns = [part.new_zeros(self._count, *part.shape[1:]) for part in made]
            for column, part in zip(self._columns, made, strict=True):
                column[whole[0] : whole[-1] + 1] = part
            self._there[block] = True
        return [column[torch.from_numpy(numbers)] for column in self._columns]


def _small_network(planes: int) -> nn.Sequential:
    layers: list[Any] = [nn.Conv2d(planes, 16, 5, stride=2, padding=2), nn.ReLU()]
    layers += [nn.Conv2d(16, 32, 5, stride=2, padding=2), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(32 * 49, 50), nn.ReLU())


def _planes(premultiplied: Tensor, alpha: Tensor) -> Tensor:
    whole = torch.cat([premultiplied.expand(-1, -1, *alpha.shape[-2:]), alpha], dim=1)
    return functional.interpolate(whole, (_INPUT_PX, _INPUT_PX), mode="bilinear", antialias=True, align_corners=False)
