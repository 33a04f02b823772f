"""A project that uses terse, for the type checker: each `ignore` must be needed, so that types are known to be there."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, assert_type

import numpy as np
import torch
from torch import Tensor

import terse
from terse.config import Component
from terse.data import CompositeDataset
from terse.export.sample import ExportConfig, Sample, SetInfo, ShardWriter
from terse.generate import GenerateSettings, generate
from terse.progress import Observer
from terse.protocols import Judges
from terse.registry import register
from terse.transforms import Paste


class Watcher(Observer):
    def cycle(self, row: Mapping[str, Any]) -> None:
        self.last = float(row["accuracy"])


class Target:
    """Judges only."""

    calibrated = True

    def confidence(self, images: Tensor, truth: terse.Truth) -> Tensor:
        return torch.ones(len(truth.labels))

    def predict(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images), dtype=torch.int64)


@register("exporter", "nothing")
class Nothing(ExportConfig):
    kind: Literal["nothing"] = "nothing"


def improved(out: Path) -> float:
    recipe = terse.load_recipe("quickstart", ["cycles=1"])
    assert_type(recipe, terse.Recipe)
    assert_type(recipe.cycles, int)
    result = terse.train(recipe, out=out, observer=Watcher())
    assert_type(result, dict[str, Any])
    judge: Judges = Target()
    terse.train(recipe, target=judge)
    return float(result["metrics"]["end"]["accuracy"])


def pasted(background: Tensor, cut: Tensor, alpha: Tensor, pose: Tensor) -> Tensor:
    found = terse.compose(background, cut, alpha, pose)
    assert_type(found, terse.Pasted)
    assert_type(found.images, Tensor)
    return found.images


def made(out: Path) -> int:
    settings = GenerateSettings(count=8, format="coco")
    recipe = terse.load_recipe("paste")
    told = generate(recipe, settings, out, workers=0)
    data = CompositeDataset(recipe, length=4)
    image, target = data[0]
    assert_type(image, Tensor)
    images, targets = Paste()([image], [target])
    return int(told["images"]) + len(images) + len(targets)


def wrong() -> None:
    terse.train(3.5)  # type: ignore[arg-type]
    terse.load_recipe("quickstart", overrides=7)  # type: ignore[arg-type]
    _ = terse.load_recipe("quickstart").cycels  # type: ignore[attr-defined]
    Watcher().phase("one", "target", 1, 0)  # type: ignore[arg-type]


def written(writer: ShardWriter, sample: Sample, info: SetInfo, kinds: Sequence[type[Component[Any]]]) -> np.ndarray:
    writer.add(sample)
    return np.array([len(info.classes), len(kinds)])
