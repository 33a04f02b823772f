"""How good a detector is: average precision at each IoU, by size and by class.

COCO's numbers come from faster-coco-eval, called directly; VOC's eleven points from `voc_ap`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from terse.evaluation.voc_ap import voc07_ap
from terse.protocols import RealImages, Target
from terse.types import Truth

__all__ = ["detection_scores", "evaluate_detector"]

_PAPER_IOUS = (0.5, 0.6, 0.7, 0.8)  # Table 4
_COCO_IOUS = np.linspace(0.5, 0.95, 10)
_SIZES = ("small", "medium", "large")  # COCO's: below 32 x 32, below 96 x 96 pixels, and above
_MOST_DETECTIONS = 100  # of one class in one image, COCO's limit


def evaluate_detector(
    target: Target,
    images: RealImages,
    *,
    batch_size: int = 16,
    device: torch.device | str | None = None,
    classes: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The scores of a target on annotated images, as `detection_scores` names them.

    Without `device` images go where the target's weights are; without `classes`, a target that knows its own names
    them, else they are numbered.

    Source: paper 4.2, Tables 2 and 4.
    """
    weight = next(target.module.parameters(), None)
    if device is None:
        device = "cpu" if weight is None else weight.device
    found: list[Mapping[str, Tensor]] = []
    truths = []
    for start in range(0, len(images), batch_size):
        pixels, truth = images.fetch(np.arange(start, min(start + batch_size, len(images))))
        found += target.predict(pixels.to(device))
        truths.append(truth.to("cpu"))
    joined = Truth.join(truths)
    names = classes or getattr(target, "classes", None)
    if names is None:
        labels = [int(label) for one in found for label in one["labels"]] + joined.labels.tolist()
        names = [str(label) for label in range(max(labels, default=-1) + 1)]
    return detection_scores(found, joined, names)


def detection_scores(found: Sequence[Mapping[str, Tensor]], truth: Truth, classes: Sequence[str]) -> dict[str, Any]:
    """AP of predictions, one mapping of boxes, labels and scores an image; each is None where there is no object.

    `ap50` to `ap80` and `ap`, their mean, are COCO's AP at the paper's IoUs, `coco_ap` is the mean from 0.5 to 0.95,
    `voc07_ap50` VOC's 11-point AP; all are means over classes that have objects. Ignored objects are neither right
    nor wrong. Sizes are of the canvas, in pixels.

    Source: paper 4.2, Tables 2 and 4; COCO's and VOC 2007's protocols.
    """
    precision = _coco_precision(found, truth, len(classes))
    voc = [_voc(found, truth, label) for label in range(len(classes))]
    area = (truth.boxes_px[:, 2:] - truth.boxes_px[:, :2]).prod(1)
    counted = ~truth.ignore
    in_size = {
        "small": counted & (area < 32**2),
        "medium": counted & (area >= 32**2) & (area < 96**2),
        "large": counted & (area >= 96**2),
    }
    every = _summary(precision[..., 0])
    return {
        **every,
        "voc07_ap50": _mean(np.array([np.nan if ap is None else ap for ap in voc])),
        "images": truth.batch_size,
        "objects": int(counted.sum()),
        "by_size": {
            name: {**_summary(precision[..., 1 + row]), "objects": int(in_size[name].sum())}
            for row, name in enumerate(_SIZES)
        },
        "by_class": {
            name: {
                **_summary(precision[:, :, label : label + 1, 0]),
                "voc07_ap50": voc[label],
                "objects": int((counted & (truth.labels == label)).sum()),
            }
            for label, name in enumerate(classes)
        },
    }


def _coco_precision(
    found: Sequence[Mapping[str, Tensor]], truth: Truth, classes: int
) -> Float64[np.ndarray, "ious recalls classes sizes"]:
    """Interpolated precision at 101 recalls for each IoU, class and size (all, small, medium, large); -1: no object."""
    from faster_coco_eval import COCO, COCOeval_faster

    annotations = [
        {"id": row + 1, "image_id": image, "category_id": label, "bbox": box, "area": box[2] * box[3], "iscrowd": crowd}
        for row, (image, label, box, crowd) in enumerate(
            zip(
                truth.image_index.tolist(),
                truth.labels.tolist(),
                _xywh(truth.boxes_px).tolist(),
                truth.ignore.int().tolist(),
                strict=True,
            )
        )
    ]
    results = [
        {"image_id": image, "category_id": label, "bbox": box, "score": score}
        for image, one in enumerate(found)
        for label, box, score in zip(
            one["labels"].tolist(), _xywh(one["boxes"]).tolist(), one["scores"].tolist(), strict=True
        )
    ]
    coco = COCO(
        {
            "info": {},
            "images": [{"id": image} for image in range(truth.batch_size)],
            "categories": [{"id": label, "name": str(label)} for label in range(classes)],
            "annotations": annotations,
        }
    )
    evaluation = COCOeval_faster(coco, coco.loadRes(results), iouType="bbox")
    evaluation.params.iouThrs = _COCO_IOUS
    evaluation.params.maxDets = [1, 10, _MOST_DETECTIONS]
    evaluation.evaluate()
    evaluation.accumulate()
    return np.asarray(evaluation.eval["precision"][..., -1], dtype=np.float64)


def _voc(found: Sequence[Mapping[str, Tensor]], truth: Truth, label: int) -> float | None:
    chosen = [one["labels"] == label for one in found]
    mine = truth.labels == label
    counts = torch.bincount(truth.image_index[mine], minlength=truth.batch_size).tolist()
    return voc07_ap(
        [_numpy(one["boxes"][rows]) for one, rows in zip(found, chosen, strict=True)],
        [_numpy(one["scores"][rows]) for one, rows in zip(found, chosen, strict=True)],
        [_numpy(part) for part in torch.split(truth.boxes_px[mine], counts)],
        [part.cpu().numpy() for part in torch.split(truth.ignore[mine], counts)],
    )


def _summary(precision: Float64[np.ndarray, "ious recalls classes"]) -> dict[str, float | None]:
    per_iou = np.where(precision > -1, precision, np.nan)
    at = {f"ap{round(100 * iou)}": _mean(per_iou[_COCO_IOUS.searchsorted(iou - 1e-9)]) for iou in _PAPER_IOUS}
    known = [value for value in at.values() if value is not None]
    return {**at, "ap": float(np.mean(known)) if known else None, "coco_ap": _mean(per_iou)}


def _mean(values: Float64[np.ndarray, "..."]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _xywh(boxes: Tensor) -> Tensor:
    return torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1).cpu()


def _numpy(tensor: Tensor) -> Float64[np.ndarray, "..."]:
    return tensor.cpu().double().numpy()
