"""The primary metric as a mean over test images, so that the images' own chance can be counted.

Accuracy is one already. AP is not: its pseudo-values, each from leaving a block of images out, are.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from terse.protocols import RealImages, Target
from terse.types import Truth

__all__ = ["ap50_pseudo_values", "correct_images", "detection_units"]

_BLOCKS = 25
_IOU = 0.5
_MOST_DETECTIONS = 100  # of one class in one image, COCO's limit
_BATCH = 16


def correct_images(
    target: Target, images: RealImages, *, batch_size: int = 500, device: torch.device | str = "cpu"
) -> list[float]:
    """1 for each image whose most probable class is the true one, else 0; their mean is the accuracy.

    Source: paper 4.1.
    """
    right: list[float] = []
    for start in range(0, len(images), batch_size):
        batch, truth = images.fetch(np.arange(start, min(start + batch_size, len(images))))
        guess = target.predict(batch.to(device)).argmax(dim=1).cpu()
        right += (guess == truth.labels.cpu()).double().tolist()
    return right


def detection_units(target: Target, images: RealImages, *, device: torch.device | str = "cpu") -> list[float]:
    """Pseudo-values of AP50 on annotated images.

    Source: Tukey 1958 (jackknife); the metric is paper 4.2's.
    """
    found: list[Mapping[str, Tensor]] = []
    truths = []
    for start in range(0, len(images), _BATCH):
        batch, truth = images.fetch(np.arange(start, min(start + _BATCH, len(images))))
        found += target.predict(batch.to(device))
        truths.append(truth.to("cpu"))
    return ap50_pseudo_values(found, Truth.join(truths))


def ap50_pseudo_values(found: Sequence[Mapping[str, Tensor]], truth: Truth, blocks: int = _BLOCKS) -> list[float]:
    """AP50's pseudo-values: for each block of images, K AP(all) - (K - 1) AP(all but the block).

    Image i belongs to block i mod K. A block without which nothing is left to find counts as the whole's AP.

    Source: Tukey 1958; Quenouille 1956.
    """
    image, judged, objects = _judge(found, truth)
    whole = _mean_ap(judged, objects.sum(axis=0))
    count = min(blocks, truth.batch_size)
    values = []
    for block in range(count):
        kept = np.arange(truth.batch_size) % count != block
        rest = [part[kept[image[label]]] for label, part in enumerate(judged)]
        without = _mean_ap(rest, objects[kept].sum(axis=0))
        values.append(whole if np.isnan(without) else count * whole - (count - 1) * without)
    return [float(value) for value in values]


def _judge(
    found: Sequence[Mapping[str, Tensor]], truth: Truth
) -> tuple[list[Int64[np.ndarray, " _"]], list[Float64[np.ndarray, "_ 2"]], Int64[np.ndarray, "images classes"]]:
    """By class: the image, and score and verdict, of every detection that counts; objects by image and class."""
    labels, index = truth.labels.numpy(), truth.image_index.numpy()
    boxes, ignore = truth.boxes_px.double().numpy(), truth.ignore.numpy()
    classes = int(labels.max(initial=-1)) + 1
    objects = np.zeros((truth.batch_size, classes), dtype=np.int64)
    np.add.at(objects, (index[~ignore], labels[~ignore]), 1)
    images: list[list[int]] = [[] for _ in range(classes)]
    judged: list[list[tuple[float, float]]] = [[] for _ in range(classes)]
    for i, one in enumerate(found):
        given, scores = one["labels"].cpu().numpy(), one["scores"].double().cpu().numpy()
        drawn = one["boxes"].double().cpu().numpy()
        for label in range(classes):
            mine = np.flatnonzero(given == label)
            mine = mine[np.argsort(-scores[mine], kind="stable")][:_MOST_DETECTIONS]
            true = (index == i) & (labels == label)
            verdicts = _match(drawn[mine], boxes[true], ignore[true])
            counted = [(float(scores[row]), right) for row, right in zip(mine, verdicts, strict=True) if right >= 0]
            judged[label] += counted
            images[label] += [i] * len(counted)
    return (
        [np.array(part, dtype=np.int64) for part in images],
        [np.array(part, dtype=np.float64).reshape(-1, 2) for part in judged],
        objects,
    )


def _match(
    boxes: Float64[np.ndarray, "d 4"], truth: Float64[np.ndarray, "n 4"], ignore: Bool[np.ndarray, " n"]
) -> list[float]:
    """1 right, 0 wrong, -1 not counted, for boxes in the order of their scores, as COCO matches them."""
    low = np.maximum(boxes[:, None, :2], truth[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], truth[None, :, 2:])
    shared = (high - low).clip(min=0).prod(-1)
    area, of_truth = (boxes[:, 2:] - boxes[:, :2]).prod(-1)[:, None], (truth[:, 2:] - truth[:, :2]).prod(-1)[None]
    # What is to be ignored counts as a crowd: a box inside it overlaps it wholly, and any number may.
    overlap = shared / np.maximum(np.where(ignore[None], area, area + of_truth - shared), 1e-12)
    free = ~ignore
    verdicts = []
    for row in range(len(boxes)):
        open_to = np.where(free, overlap[row], -1.0)
        if len(truth) and open_to.max() >= _IOU - 1e-10:
            free[len(truth) - 1 - int(open_to[::-1].argmax())] = False
            verdicts.append(1.0)
        else:
            verdicts.append(-1.0 if (overlap[row][ignore] >= _IOU - 1e-10).any() else 0.0)
    return verdicts


def _mean_ap(judged: Sequence[Float64[np.ndarray, "_ 2"]], objects: Int64[np.ndarray, " classes"]) -> float:
    """COCO's AP at 101 recalls, mean over the classes that have objects; nan where none has."""
    found = [_ap(part, int(count)) for part, count in zip(judged, objects, strict=True) if count]
    return float(np.mean(found)) if found else float("nan")


def _ap(judged: Float64[np.ndarray, "d 2"], objects: int) -> float:
    right = judged[np.argsort(-judged[:, 0], kind="mergesort"), 1]
    hits = np.cumsum(right)
    recall, precision = hits / objects, hits / np.arange(1, len(right) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.append(best, 0.0)[np.minimum(places, len(best))].mean())
