"""The target: whether it fits, what its labels mean, and what it sees in the backgrounds that nobody labelled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from terse.boxes import areas, iou, shared_areas
from terse.check.findings import Code, Found, Part, Show, sampled
from terse.errors import TerseError
from terse.progress import Observer
from terse.protocols import network_of, trainable
from terse.sources.banks import PhotoBackgrounds
from terse.sources.coco import category_ids
from terse.targets.weights import load_weights
from terse.tasks.answers import Box

if TYPE_CHECKING:
    from terse.recipe import Recipe

__all__ = ["build_target", "is_trained", "unlabelled"]

_SURE = 0.5
_SHOWN = 8
_SAME_IOU, _INSIDE = 0.5, 0.7
_BATCH = 8
_MOST = 300  # on one core SSDLite takes 0.1 s an image, Faster R-CNN on ResNet-50 a second


def build_target(recipe: Recipe, classes: Sequence[str]) -> tuple[Any, list[Found]]:
    """The target, None where it cannot be built, whether anything has trained it, and what its labels mean."""
    try:
        target: Any = recipe.target.build(classes=tuple(classes), canvas_px=recipe.canvas_px)
    except TerseError as error:
        return None, [Found(code=Code.TARGET_UNFIT, where="target", fields={"error": str(error)})]
    return target, [*_untrained(recipe, target), *_shifted(recipe, target, classes)]


def _untrained(recipe: Recipe, target: Any) -> Iterator[Found]:
    """A target that the arm asks what it fails before anything has trained it; your own may come with its weights."""
    weights = getattr(recipe.target, "weights", ...)
    knows = recipe.target.kind == "user" or (weights is not None and getattr(target, "found", "") != "backbone")
    asked = recipe.cycles and getattr(recipe.synthesis, "judges", False) and not recipe.pool.refresh
    if asked and recipe.pretrain is None and not knows:
        yield Found(code=Code.TARGET_UNTRAINED, where="target")


def _shifted(recipe: Recipe, target: Any, classes: Sequence[str]) -> Iterator[Found]:
    """Labels of other classes than the weights' outputs by their names; or counted from 1, where the data number otherwise."""
    columns = getattr(target, "columns", None)
    if columns is None:
        return
    taken = dict(zip(classes, columns, strict=True))
    named: Mapping[str, int] = getattr(target, "named", {})
    known = {name: named[name.casefold()] for name in classes if name.casefold() in named}
    if wrong := [name for name, number in known.items() if number != taken[name]]:
        fields = {"known": _listed(known, ": "), "taken": _listed({name: taken[name] for name in wrong}, ": ")}
        yield Found(code=Code.LABELS_OF_OTHERS, where="target", examples=wrong, fields=fields)
    if (
        len(known) == len(classes)
        or getattr(recipe.target, "labels", None)
        or getattr(target, "found", "") != "detector"
    ):
        return
    if given := {name: number for name, number in _ids(recipe).items() if taken.get(name, number) != number}:
        fields = {"taken": _listed(taken, " "), "given": _listed(given, " ")}
        yield Found(code=Code.LABELS_SHIFTED, where="target", examples=list(given), fields=fields)


def _listed(numbers: Mapping[str, int], between: str) -> str:
    return ", ".join(f"{name}{between}{number}" for name, number in list(numbers.items())[:_SHOWN])


def _ids(recipe: Recipe) -> dict[str, int]:
    """The category ids of a COCO source; nothing for the others, which have none."""
    files = [getattr(source, "coco", None) for source in (recipe.train, recipe.foregrounds)]
    return next(filter(None, (category_ids(file) for file in files if isinstance(file, Path))), {})


def is_trained(recipe: Recipe, target: Any) -> bool:
    """Whether the target came with weights that can find anything."""
    return getattr(target, "found", "") == "detector" or (
        recipe.target.kind == "user" and hasattr(target, "columns") and recipe.pretrain is None
    )


def unlabelled(
    recipe: Recipe, target: Any, part: Part, most: int, observer: Observer, checkpoint: Path | None = None
) -> list[Found]:
    """Backgrounds in which the target is sure of an object that has no label.

    Raises:
        DataError: the checkpoint is missing or another model's.
    """
    if checkpoint is not None:
        load_weights(trainable(target).module, checkpoint)
    classes = target.classes
    device = "cuda" if torch.cuda.is_available() and recipe.runtime.device in ("auto", "cuda") else "cpu"
    network = network_of(target)
    if network is not None:
        network.to(device)
    bank = PhotoBackgrounds(part.annotations, classes, canvas_px=recipe.canvas_px, workers=recipe.runtime.workers)
    chosen = sampled(len(bank), min(_MOST, most) if most else 0)
    if len(chosen) < len(bank):
        observer.say(f"backgrounds: {len(chosen):,} of {len(bank):,} are searched for objects; --sample 0 searches all")
    hits: dict[int, list[Box]] = {}
    for start in range(0, len(chosen), _BATCH):
        rows = np.array(chosen[start : start + _BATCH])
        batch = bank.fetch(rows)
        for k, answer in enumerate(target.predict(batch.images.to(device))):
            known = batch.truth.boxes_px[batch.truth.image_index == k].numpy()
            boxes = _new_boxes(answer, known, classes, part.annotations.sizes_px[rows[k]] / recipe.canvas_px)
            if boxes:
                hits[int(rows[k])] = boxes
        observer.advance("searching backgrounds", start + len(rows), len(chosen))
    if not hits:
        return []
    return [_found(part, hits)]


def _new_boxes(answer: Any, known: np.ndarray, classes: tuple[str, ...], scale: np.ndarray) -> list[Box]:
    """What the target is sure of and no label covers, in pixels of the image."""
    sure = answer["scores"].cpu() >= _SURE
    boxes, labels, scores = (answer[name].cpu()[sure].numpy() for name in ("boxes", "labels", "scores"))
    # A crowd's region, or a label of one half of a couple, holds a box without being as large.
    inside = shared_areas(boxes, known) / areas(boxes)[:, None].clip(min=1e-6)
    new = (iou(boxes, known) < _SAME_IOU).all(axis=1) & (inside < _INSIDE).all(axis=1)
    sides = np.tile(scale, 2)
    return [
        Box(tuple((boxes[i] * sides).tolist()), classes[int(labels[i])], round(float(scores[i]), 3), "false")
        for i in np.flatnonzero(new)
    ]


def _found(part: Part, hits: dict[int, list[Box]]) -> Found:
    best = {i: max(box.score or 0.0 for box in boxes) for i, boxes in hits.items()}
    order = sorted(hits, key=lambda i: -best[i])
    annotations, keys = part.annotations, part.annotations.image_keys
    return Found(
        code=Code.OBJECTS_UNLABELLED,
        where="backgrounds",
        examples=[f"{annotations.paths[i]} ({hits[i][0].label} {best[i]:.2f})" for i in order],
        fields={"score": _SURE},
        look_first={"backgrounds": [keys[i] for i in order]},
        shows=[Show(annotations, i, detections=tuple(hits[i]), why=f"score {best[i]:.2f}") for i in order],
    )
