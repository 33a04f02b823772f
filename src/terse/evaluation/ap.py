"""Average precision: COCO's at each IoU, by size and by class, VOC 2007's eleven points, and pseudo-values of AP50.

COCO's figures come from faster-coco-eval, called directly. It does not say which object a detection found, so
`evaluation.matching` does: VOC's points, the pseudo-values and the answers on a page rest on it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from terse.evaluation.matching import IGNORED, MATCH_IOU, mask_overlaps, match
from terse.evaluation.pseudo_values import BLOCKS, pseudo_values
from terse.types import Truth

__all__ = [
    "PAPER_IOUS",
    "ap_of",
    "ap_pseudo_values",
    "coco_precision",
    "detection_scores",
    "ious_of",
    "mask_scores",
    "voc07_ap",
]

PAPER_IOUS = (0.5, 0.6, 0.7, 0.8)  # Table 4
_COCO_IOUS = np.linspace(0.5, 0.95, 10)
_SIZES = ("small", "medium", "large")  # COCO's: below 32 x 32, below 96 x 96 pixels, and above
_MOST_DETECTIONS = 100  # of one class in one image, COCO's limit
_COCO_RECALLS = np.linspace(0, 1, 101)
# Tenths as VOC's MATLAB has them; a recall that is a tenth on paper must not fall below it in floats.
_VOC_RECALLS = np.arange(11) / 10 - 1e-12


def detection_scores(
    found: Sequence[Mapping[str, Tensor]], truth: Truth, classes: Sequence[str], voc07_ious: Sequence[float] = (0.5,)
) -> dict[str, Any]:
    """AP of predictions, one mapping of boxes, labels and scores an image; each is None where there is no object.

    `ap50` to `ap80` and `ap`, their mean, are COCO's AP at the paper's IoUs, `coco_ap` is the mean from 0.5 to 0.95,
    `voc07_ap50` VOC's 11-point AP, at other IoUs too where they are asked for, `voc07_ap` the mean over several; all
    are means over classes that have objects. Ignored objects are neither right nor wrong. Sizes are of the canvas, in
    pixels.

    Source: paper 4.2, Tables 2 and 4; COCO's and VOC 2007's protocols.
    """
    precision = coco_precision(found, truth, len(classes))
    voc = _voc07(found, truth, len(classes), voc07_ious)
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
        **{name: _mean(values) for name, values in voc.items()},
        "images": truth.batch_size,
        "objects": int(counted.sum()),
        "by_size": {
            name: {**_summary(precision[..., 1 + row]), "objects": int(in_size[name].sum())}
            for row, name in enumerate(_SIZES)
        },
        "by_class": {
            name: {
                **_summary(precision[:, :, label : label + 1, 0]),
                **{name: _mean(values[label, None]) for name, values in voc.items()},
                "objects": int((counted & (truth.labels == label)).sum()),
            }
            for label, name in enumerate(classes)
        },
    }


def ious_of(metric: str) -> tuple[float, ...]:
    """The IoUs that a metric's name speaks of: `ap60`, `mask_ap50`, or several by their mean, `ap`, `coco_ap`, `mask_ap`.

    Source: ours.
    """
    at = metric.removeprefix("voc07_").removeprefix("mask_").removeprefix("ap")
    if at.isdigit():
        return (int(at) / 100,)
    return tuple(_COCO_IOUS.tolist()) if metric in ("coco_ap", "mask_ap") else PAPER_IOUS


def voc07_ap(
    found: Sequence[Mapping[str, Tensor]], truth: Truth, classes: int, match_iou: float = MATCH_IOU
) -> list[float | None]:
    """The 11-point AP of each class at one IoU; None where there is no object to find.

    Not COCO's with eleven recall points: see `match`. Ignored objects are VOC's difficult ones.

    Source: Everingham et al. 2010, section 4.2; the VOC 2007 development kit.
    """
    judged = _Judged.of(found, truth, classes, voc=True, match_iou=match_iou)
    return [judged.ap(label) for label in range(classes)]


def ap_pseudo_values(
    found: Sequence[Mapping[str, Tensor]],
    truth: Truth,
    ious: Sequence[float] = (MATCH_IOU,),
    *,
    voc: bool = False,
    masks: bool = False,
    blocks: int = BLOCKS,
) -> list[float]:
    """AP, a mean over IoUs, as a mean over blocks of images: for each block, K AP(all) - (K - 1) AP(all but the block).

    Image i belongs to block i mod K. A block without which nothing is left to find counts as the whole's AP. `voc`
    takes VOC's eleven points and matches instead of COCO's.

    Source: Tukey 1958; Quenouille 1956. The metric is paper 4.2's.
    """
    return pseudo_values(ap_of(found, truth, ious, voc=voc, masks=masks), truth.batch_size, blocks)


def ap_of(
    found: Sequence[Mapping[str, Tensor]], truth: Truth, ious: Sequence[float], *, voc: bool, masks: bool = False
) -> Callable[[Bool[np.ndarray, " images"] | None], float]:
    """AP, a mean over IoUs, of some of the images, which are matched once; None is all of them.

    Source: paper 4.2 (the metric).
    """
    classes = int(truth.labels.max()) + 1 if len(truth.labels) else 0
    judged = [_Judged.of(found, truth, classes, voc=voc, match_iou=iou, masks=masks) for iou in ious]
    return lambda images: float(np.mean([one.mean_ap(images) for one in judged]))


def coco_precision(
    found: Sequence[Mapping[str, Tensor]], truth: Truth, classes: int, *, masks: bool = False
) -> Float64[np.ndarray, "ious recalls classes sizes"]:
    """Interpolated precision at 101 recalls for each IoU, class and size (all, small, medium, large); -1: no object.

    IoU is of boxes, or of the masks of predictions and truth.

    Source: Lin et al. 2014 (COCO), by faster-coco-eval.
    """
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
    size: dict[str, int] = {}
    if masks:
        assert truth.masks is not None
        size = {"height": truth.masks.shape[1], "width": truth.masks.shape[2]}
        for one, mask in zip(annotations, truth.masks, strict=True):
            one |= {"segmentation": _run_lengths(mask), "area": int(mask.sum())}
        for one, mask in zip(results, (mask for image in found for mask in image["masks"]), strict=True):
            one["segmentation"] = _run_lengths(mask)
    coco = COCO(
        {
            "info": {},
            "images": [{"id": image, **size} for image in range(truth.batch_size)],
            "categories": [{"id": label, "name": str(label)} for label in range(classes)],
            "annotations": annotations,
        }
    )
    evaluation = COCOeval_faster(coco, coco.loadRes(results), iouType="segm" if masks else "bbox")
    evaluation.params.iouThrs = _COCO_IOUS
    evaluation.params.maxDets = [1, 10, _MOST_DETECTIONS]
    evaluation.evaluate()
    evaluation.accumulate()
    return np.asarray(evaluation.eval["precision"][..., -1], dtype=np.float64)


def mask_scores(
    found: Sequence[Mapping[str, Tensor]], truth: Truth, classes: Sequence[str]
) -> tuple[dict[str, float | None], dict[str, dict[str, float | None]]]:
    """`mask_ap50` and `mask_ap`, the mean from 0.5 to 0.95, over all classes and of each; None where there is no object.

    Predictions have `masks` beside boxes, labels and scores.

    Source: Lin et al. 2014 (COCO).
    """
    per_iou = coco_precision(found, truth, len(classes), masks=True)[..., 0]
    per_iou = np.where(per_iou > -1, per_iou, np.nan)

    def of(part: np.ndarray) -> dict[str, float | None]:
        return {"mask_ap50": _mean(part[0]), "mask_ap": _mean(part)}

    return of(per_iou), {name: of(per_iou[:, :, label : label + 1]) for label, name in enumerate(classes)}


def _voc07(
    found: Sequence[Mapping[str, Tensor]], truth: Truth, classes: int, ious: Sequence[float]
) -> dict[str, Float64[np.ndarray, " classes"]]:
    """The 11-point AP of each class by the metric's name; nan where there is no object."""
    values = {
        f"voc07_ap{round(100 * iou)}": np.array(voc07_ap(found, truth, classes, iou), dtype=np.float64) for iou in ious
    }
    return values if len(ious) < 2 else {**values, "voc07_ap": np.mean(list(values.values()), axis=0)}


def _run_lengths(mask: Bool[Tensor, "h w"]) -> dict[str, Any]:
    from faster_coco_eval.core import mask as coder

    found: dict[str, Any] = coder.encode(np.asfortranarray(mask.cpu().numpy().astype(np.uint8)))
    return found


def _summary(precision: Float64[np.ndarray, "ious recalls classes"]) -> dict[str, float | None]:
    per_iou = np.where(precision > -1, precision, np.nan)
    at = {f"ap{round(100 * iou)}": _mean(per_iou[_COCO_IOUS.searchsorted(iou - 1e-9)]) for iou in PAPER_IOUS}
    known = [value for value in at.values() if value is not None]
    return {**at, "ap": float(np.mean(known)) if known else None, "coco_ap": _mean(per_iou)}


def _mean(values: Float64[np.ndarray, "..."]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _xywh(boxes: Tensor) -> Tensor:
    return torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1).cpu()


@dataclass(frozen=True, slots=True)
class _Judged:
    """Every detection that counts, image by image and there by score, and the objects to find."""

    image: Int64[np.ndarray, " d"]
    label: Int64[np.ndarray, " d"]
    score: Float64[np.ndarray, " d"]
    right: Bool[np.ndarray, " d"]
    objects: Int64[np.ndarray, "images classes"]
    recalls: Float64[np.ndarray, " recalls"]  # that AP is a mean over

    @staticmethod
    def of(
        found: Sequence[Mapping[str, Tensor]],
        truth: Truth,
        classes: int,
        *,
        voc: bool,
        match_iou: float,
        masks: bool = False,
    ) -> "_Judged":
        """Match the detections of every image."""
        truth = truth.to("cpu")
        counted = ~truth.ignore
        objects = np.zeros((truth.batch_size, classes), dtype=np.int64)
        np.add.at(objects, (truth.image_index[counted].numpy(), truth.labels[counted].numpy()), 1)
        columns: list[tuple[np.ndarray, ...]] = [
            (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool))
        ]
        for number, one in enumerate(found):
            boxes, labels, scores = (one[name].cpu() for name in ("boxes", "labels", "scores"))
            order = torch.argsort(scores, descending=True, stable=True)
            if not voc:
                order = order[_rank_in_class(labels[order]) < _MOST_DETECTIONS]
            mine = truth.take([number])
            overlap = mask_overlaps(one["masks"].cpu()[order], mine) if masks else None
            partner = match(boxes[order], labels[order], mine, voc=voc, match_iou=match_iou, overlap=overlap)
            kept = partner != IGNORED
            label, score = labels[order].numpy()[kept], scores[order].double().numpy()[kept]
            columns.append((np.full(len(label), number), label, score, partner[kept] >= 0))
        image, label, score, right = (np.concatenate(column) for column in zip(*columns, strict=True))
        return _Judged(image, label, score, right, objects, _VOC_RECALLS if voc else _COCO_RECALLS)

    def ap(self, label: int, images: Bool[np.ndarray, " images"] | None = None) -> float | None:
        """The mean over recalls of the best precision there or beyond, of a class; None without objects."""
        mine = self.label == label
        if images is not None:
            mine &= images[self.image]
        objects = int((self.objects if images is None else self.objects[images])[:, label].sum())
        if not objects:
            return None
        hits = np.cumsum(self.right[mine][np.argsort(-self.score[mine], kind="stable")])
        recall, precision = hits / objects, hits / np.arange(1, len(hits) + 1)
        best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
        return float(best[np.searchsorted(recall, self.recalls, side="left")].mean())

    def mean_ap(self, images: Bool[np.ndarray, " images"] | None = None) -> float:
        """The mean of AP over the classes that have objects; nan where none has."""
        found = [self.ap(label, images) for label in range(self.objects.shape[1])]
        known = [ap for ap in found if ap is not None]
        return float(np.mean(known)) if known else float("nan")


def _rank_in_class(labels: Int64[Tensor, " d"]) -> Int64[Tensor, " d"]:
    """How many earlier detections have the same label."""
    rank = torch.zeros_like(labels)
    for label in set(labels.tolist()):
        mine = labels == label
        rank[mine] = torch.arange(int(mine.sum()))
    return rank
