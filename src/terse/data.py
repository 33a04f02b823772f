"""Composites inside a training loop of your own, drawn when they are asked for."""

import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from terse.errors import DataError, RecipeError
from terse.export.sample import Labelled
from terse.generate.draw import Drawing, draw_images
from terse.generate.plan import planned_scenes
from terse.generate.propose import in_each_blend, propose
from terse.generate.settings import GenerateSettings
from terse.generate.trained import SetPlayers, of_recipe
from terse.poses import build_poses
from terse.process import torch_defaults
from terse.recipe import Recipe, as_recipe
from terse.validation import validate

__all__ = ["CompositeDataset"]

Target = dict[str, Any]


class CompositeDataset(Dataset[tuple[Tensor, Target]]):
    """A map-style dataset of composites, in the conventions of torchvision's detection references.

    An item is a `tv_tensors.Image` (uint8, RGB) and a dict with `boxes` (`tv_tensors.BoundingBoxes`, XYXY),
    `labels`, `masks` (`tv_tensors.Mask`; an object of the background without a mask has its filled box), `area`,
    `iscrowd` and `image_id`. It is a function of the seed, the epoch and its index: nothing is written, and any
    number of loader workers gives the same.

    Args:
        recipe: a Recipe, a built-in name or a file; `paste` needs no training.
        overrides: `key=value`, as on the command line.
        length: items of an epoch.
        first_label: label of the first class; torchvision's detectors keep 0 for the background.
        transforms: called with image and target, a v2 transform for example.
        settings: options of `GenerateSettings`: objects, quota, blends, max_overlap, side_px, seed ...

    Raises:
        TerseError: a recipe, source or setting that cannot be used.
    """

    @torch_defaults()
    def __init__(
        self,
        recipe: Recipe | str | Path,
        overrides: Sequence[str] = (),
        *,
        length: int,
        first_label: int = 1,
        transforms: Callable[..., Any] | None = None,
        **settings: Any,
    ) -> None:
        made = as_recipe(recipe, overrides)
        if "count" in settings:
            raise RecipeError(f"count: expected the number of items as length, got count={settings['count']!r}")
        if length < 1:
            raise RecipeError(f"length: expected an integer >= 1, got {length}")
        asked = validate(GenerateSettings, {"count": length, **settings}, None)
        if asked.hardness is not None:
            raise RecipeError(
                "hardness: expected a trained run, whose target says what is hard, got a recipe; "
                "`terse generate RUN` takes it"
            )
        if asked.with_real:
            raise RecipeError("with_real: expected none, since every item is a composite, got with_real=True")
        self.first_label = first_label
        self.transforms = transforms
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call,unused-ignore]  # with workers that outlive an epoch
        origin = of_recipe(made)
        self._limits = asked.limits(origin.limits, origin.material.foregrounds.classes)
        self._drawing = Drawing(origin.material, build_poses(made.poses), made.edges, asked)
        self._length = length
        self._planned = planned_scenes(asked, self._limits, origin.material)
        self._load = origin.load
        self._players: SetPlayers | None = None
        self.classes = origin.material.classes

    def __len__(self) -> int:
        return self._length

    @property
    def epoch(self) -> int:
        """The epoch whose composites are drawn."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Other composites of the same classes, as a distributed sampler's `set_epoch` gives another order.

        A loader's workers that are kept (`persistent_workers`) follow.
        """
        self._epoch.fill_(epoch)

    @torch_defaults()
    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        """One composite.

        Raises:
            IndexError: past the end.
            DataError: nothing met the limits, or a source cannot be read.
        """
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"index: expected -{len(self)} to {len(self) - 1}, got {index}")
        index %= len(self)
        own, blend = divmod(index, self._limits.copies)
        scene = own + self.epoch * len(self._planned)
        found = propose(self._drawing, self._loaded(), scene, self._planned.of(own, own + 1))
        if not found.accepted:
            raise DataError(f"limits: expected a placement that meets them, got {next(iter(found.refused.values()))}")
        drawn = found.accepted
        if self._limits.all_blends:
            drawn = in_each_blend(drawn, self._limits.blends).take(np.array([blend]))
        (canvas, objects), *_ = draw_images(self._drawing, drawn)
        image = tv_tensors.Image(torch.from_numpy(np.ascontiguousarray(canvas[..., ::-1].transpose(2, 0, 1))))
        target = self._target(objects, (canvas.shape[0], canvas.shape[1]), index)
        if self.transforms is None:
            return image, target
        changed: tuple[Tensor, Target] = self.transforms(image, target)
        return changed

    def __getstate__(self) -> dict[str, Any]:
        """A loader's worker makes its proposer itself."""
        return {**self.__dict__, "_players": None}

    def _loaded(self) -> SetPlayers:
        if self._players is None:
            self._players = self._load()
            self._players.proposer.limits = self._limits
        return self._players

    def _target(self, objects: Sequence[Labelled], size_px: tuple[int, int], index: int) -> Target:
        masks = torch.zeros(len(objects), *size_px, dtype=torch.bool)
        for mask, item in zip(masks.numpy(), objects, strict=True):
            item.paint(mask, 1)
        boxes = torch.tensor([item.box_px for item in objects], dtype=torch.float32).reshape(-1, 4)
        return {
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size_px),
            "labels": torch.tensor([item.label + self.first_label for item in objects], dtype=torch.int64),
            "masks": tv_tensors.Mask(masks),
            "area": torch.tensor([float(item.area_px) for item in objects]),
            "iscrowd": torch.tensor([int(item.ignore or item.crowd) for item in objects], dtype=torch.int64),
            "image_id": index,
        }
