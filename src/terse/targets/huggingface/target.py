"""A set-prediction detector of transformers as a target: each query answers for at most one object.

Boxes are centre, width and height as shares of the image there; they meet pixels in this file alone.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int64
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torchvision.ops import box_convert, generalized_box_iou, generalized_box_iou_loss

from terse.modes import eval_mode, frozen, learning
from terse.targets.detector.modes import several_images
from terse.targets.overlaps import Predictions, best_scores
from terse.targets.pixels import Pixels
from terse.types import Evidence, Truth

__all__ = ["HuggingFaceTarget"]

_SMALLEST_PX = 1.0
_MOST = 100  # detections an image, as COCO counts them
_L1, _GIOU = 5.0, 2.0  # of the box error, in matching and loss alike: Carion et al. 2020, and all that followed


class HuggingFaceTarget:
    """A module whose output has `logits` (b, queries, columns) and `pred_boxes` (b, queries, 4), and takes `labels`.

    `columns` gives the model's own label of each task class, `box_weight` is Eq. 1's lambda, and `found` says what
    its weights held: `detector`, `backbone` for a new head, or `nothing`; `named` which label each class has there by name, in
    small letters.
    """

    def __init__(
        self,
        module: nn.Module,
        classes: Sequence[str],
        columns: Sequence[int],
        pixels: Pixels,
        box_weight: float,
        *,
        softmax: bool,
        found: str = "nothing",
        named: Mapping[str, int] | None = None,
    ) -> None:
        self.module = module
        self.classes = tuple(classes)
        self.columns = tuple(columns)
        self.box_weight = box_weight
        self.found = found
        self.named = dict(named or {})
        self._pixels = pixels
        self._softmax = softmax

    @property
    def calibrated(self) -> bool:
        """Whether scores are softmax probabilities; sigmoid scores of focal training are not (hardness)."""
        return self._softmax

    def evidence(self, images: Float[Tensor, "b 3 h w"], truth: Truth) -> Evidence:
        """What the query that is matched to each pasted object says of it.

        All objects of an image are matched to its queries at once, one to one, as in the model's own training, so no
        query answers for two. Objects that are ignored or below a pixel have no match: hiding earns nothing.

        Source: paper 3.2, Eq. 1; the matching is Carion et al. 2020.
        """
        truth = truth.to(images.device)
        with eval_mode(self.module), frozen(self.module):
            logits, boxes = self._forward(images)
        wanted = self._shares(truth, images)
        chosen = self._matched(logits.detach(), boxes.detach(), wanted, truth)
        image, query, number = (part[truth.pasted[chosen[2]]] for part in chosen)
        codes = boxes[image, query]
        return Evidence.of_logits(
            logits[image, query],
            self._columns_of(truth.labels[number]),
            truth,
            number,
            sigmoid=not self._softmax,
            box_error=_box_error(codes, wanted[number]),
            box_weight=self.box_weight,
        )

    def train_loss(self, images: Float[Tensor, "b 3 h w"], truth: Truth) -> Float[Tensor, ""]:
        """The model's own training loss; ignored objects and boxes below a pixel are left out.

        Source: paper 3.2.
        """
        return self.counted_loss(images, truth)[0]

    def counted_loss(self, images: Float[Tensor, "b 3 h w"], truth: Truth) -> tuple[Float[Tensor, ""], float]:
        """`train_loss`, and the boxes that set prediction divides it by."""
        truth = truth.to(images.device)
        kept = _counts(truth)
        shares, columns = self._shares(truth, images)[kept], self._columns_of(truth.labels[kept])
        amounts = torch.bincount(truth.image_index[kept], minlength=len(images)).tolist()
        labels = [
            {"class_labels": label, "boxes": box}
            for label, box in zip(torch.split(columns, amounts), torch.split(shares, amounts), strict=True)
        ]
        with learning(self.module), several_images(len(images)):
            loss: Tensor = self.module(pixel_values=self._pixels(images), labels=labels).loss
        return _wide(loss), float(sum(amounts))

    @torch.no_grad()
    def confidence(self, images: Float[Tensor, "b 3 h w"], truth: Truth) -> Float[Tensor, " n_pasted"]:
        """Of each pasted object, the highest score of its class among the queries whose box overlaps it.

        Source: ours.
        """
        with eval_mode(self.module):
            logits, boxes = self._forward(images)
        corners = box_convert(boxes, "cxcywh", "xyxy") * _size_of(images)
        answers = map(Predictions, corners[:, :, None], self._scores(logits))
        return best_scores(answers, truth.to(images.device), self.columns, images)

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "b 3 h w"]) -> list[dict[str, Tensor]]:
        """Boxes in pixels, task classes, scores, best first: as RT-DETR's post-processing does, the highest of all scores.

        A query may answer with two classes; there is no suppression, the queries are trained to differ.
        """
        with eval_mode(self.module):
            logits, boxes = self._forward(images)
        scores, corners = self._scores(logits), box_convert(boxes, "cxcywh", "xyxy")
        size = _size_of(images)
        task = torch.full((scores.shape[-1],), -1, dtype=torch.int64, device=images.device)
        task[torch.tensor(self.columns, device=images.device)] = torch.arange(len(self.columns), device=images.device)
        kept = []
        for score, corner in zip(scores, corners, strict=True):
            best, flat = score.flatten().topk(min(max(_MOST, len(score)), score.numel()))
            query, column = flat // score.shape[1], flat % score.shape[1]
            labels = task[column]
            known = labels >= 0
            within = (corner[query[known]].clamp(0, 1)) * size
            kept.append({"boxes": within, "labels": labels[known], "scores": best[known]})
        return kept

    def _forward(self, images: Tensor) -> tuple[Float[Tensor, "b queries columns"], Float[Tensor, "b queries 4"]]:
        outputs = self.module(pixel_values=self._pixels(images))
        return _wide(outputs.logits), _wide(outputs.pred_boxes)

    def _scores(self, logits: Tensor) -> Float[Tensor, "b queries labels"]:
        scores: Tensor = logits.softmax(-1)[..., :-1] if self._softmax else logits.sigmoid()
        return scores

    def _shares(self, truth: Truth, images: Tensor) -> Float[Tensor, "n 4"]:
        """The objects' boxes as the model has them."""
        shares: Tensor = box_convert(truth.boxes_px.detach().to(images) / _size_of(images), "xyxy", "cxcywh")
        return shares

    def _matched(
        self, logits: Tensor, boxes: Tensor, wanted: Tensor, truth: Truth
    ) -> tuple[Int64[Tensor, " m"], Int64[Tensor, " m"], Int64[Tensor, " m"]]:
        """Image, query and object of each pair, by the least cost of class and box within an image."""
        scores, corners = self._scores(logits), box_convert(boxes, "cxcywh", "xyxy")
        counted = _counts(truth)
        columns = self._columns_of(truth.labels)
        found: list[tuple[int, int, int]] = []
        for image in range(truth.batch_size):
            rows = ((truth.image_index == image) & counted).nonzero().flatten()
            if not len(rows):
                continue
            apart = torch.cdist(boxes[image], wanted[rows], p=1)
            overlap = generalized_box_iou(corners[image], box_convert(wanted[rows], "cxcywh", "xyxy"))
            cost = _L1 * apart - _GIOU * overlap - scores[image][:, columns[rows]]
            queries, objects = linear_sum_assignment(cost.cpu().nan_to_num(1e6).numpy())
            found += sorted((image, int(q), int(rows[k])) for q, k in zip(queries, objects, strict=True))
        table = torch.tensor(found, dtype=torch.int64, device=logits.device).reshape(-1, 3)
        return table[:, 0], table[:, 1], table[:, 2]

    def _columns_of(self, labels: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
        return torch.tensor(self.columns, device=labels.device, dtype=torch.int64)[labels]


def _box_error(boxes: Float[Tensor, "m 4"], wanted: Float[Tensor, "m 4"]) -> Float[Tensor, " m"]:
    corners, truth = (box_convert(part, "cxcywh", "xyxy") for part in (boxes, wanted))
    overlap: Tensor = generalized_box_iou_loss(corners, truth, reduction="none")
    return _L1 * (boxes - wanted).abs().sum(-1) + _GIOU * overlap


def _counts(truth: Truth) -> Bool[Tensor, " n"]:
    """Objects that are neither ignored nor below a pixel."""
    large: Tensor = ((truth.boxes_px[:, 2:] - truth.boxes_px[:, :2]) >= _SMALLEST_PX).all(1)
    return ~truth.ignore & large


def _size_of(images: Tensor) -> Float[Tensor, " 4"]:
    height, width = images.shape[-2:]
    return torch.tensor([width, height, width, height], device=images.device, dtype=images.dtype)


def _wide(values: Tensor) -> Tensor:
    """At least float32, whatever autocast computed them in."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
