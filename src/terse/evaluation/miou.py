"""Intersection over union of classes, counted over all pixels of a set of images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from torch import Tensor

from terse.compositing.truth import NEITHER
from terse.evaluation.pseudo_values import pseudo_values

__all__ = ["class_ious", "confusions", "miou_pseudo_values", "miou_scores"]


def confusions(
    predicted: Int64[Tensor, "b h w"], known: Int64[Tensor, "b h w"], classes: int
) -> Int64[np.ndarray, "b true guessed"]:
    """How many pixels of each class are taken for each, an image: the background first, then the task's classes.

    Pixels of `known` that are `NEITHER` do not count.

    Source: ours.
    """
    count = classes + 1
    found = []
    for guess, truth in zip(predicted.cpu().flatten(1), known.cpu().flatten(1), strict=True):
        counts = truth != NEITHER
        pairs = truth[counts] * count + guess[counts]
        found.append(np.bincount(pairs.numpy(), minlength=count**2).reshape(count, count))
    return np.stack(found) if found else np.zeros((0, count, count), dtype=np.int64)


def class_ious(counts: Int64[np.ndarray, "true guessed"]) -> Float64[np.ndarray, " classes"]:
    """The IoU of each class, background first; nan for one that is neither there nor guessed.

    Source: Everingham et al. 2010, section 4.3 (VOC's segmentation accuracy).
    """
    right = np.diag(counts).astype(np.float64)
    union = counts.sum(axis=0) + counts.sum(axis=1) - right
    ious: Float64[np.ndarray, " classes"] = np.full(len(right), np.nan)
    np.divide(right, union, out=ious, where=union > 0)
    return ious


def miou_scores(counts: Int64[np.ndarray, "b true guessed"], classes: Sequence[str]) -> dict[str, Any]:
    """`miou`, the mean IoU of the task's classes, `miou_background` with the background as VOC counts it.

    A class that is nowhere and guessed nowhere is left out of the means; a figure of no class at all is None.

    Source: Everingham et al. 2010, section 4.3; leaving the background out is ours, since pasting changes it little.
    """
    whole = counts.sum(axis=0)
    ious = class_ious(whole)
    pixels = int(whole.sum())
    return {
        "miou": _mean(ious[1:]),
        "miou_background": _mean(ious),
        "pixel_accuracy": float(np.trace(whole) / pixels) if pixels else None,
        "images": len(counts),
        "by_class": {name: {"miou": _mean(ious[1 + label : 2 + label])} for label, name in enumerate(classes)},
    }


def miou_pseudo_values(counts: Int64[np.ndarray, "b true guessed"], figure: str = "miou") -> list[float]:
    """The mean IoU of the task's classes, or another figure of `miou_scores`, as a mean over blocks of images.

    Source: Tukey 1958; Quenouille 1956.
    """

    def of(rows: np.ndarray) -> float:
        found = miou_scores(counts[rows], ())[figure]
        return float("nan") if found is None else found

    return pseudo_values(of, len(counts))


def _mean(values: Float64[np.ndarray, " n"]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
