"""How sure a detector is of an object: the best score of its class among the predictions that overlap it."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor
from torchvision.ops import box_iou

from terse.types import Truth

__all__ = ["Predictions", "best_scores"]

_IOU = 0.5


class Predictions(NamedTuple):
    """Everything that is predicted in one image, before thresholds and suppression."""

    boxes_px: Float[Tensor, "predictions columns_or_one 4"]  # in pixels of the image that was given
    scores: Float[Tensor, "predictions columns"]


def best_scores(
    images: Iterable[Predictions], truth: Truth, columns: Sequence[int], like: Tensor
) -> Float[Tensor, " n_pasted"]:
    """Of each pasted object, the highest score of its class among predictions with IoU >= 0.5; 0 where there is none.

    Args:
        images: what is predicted, image by image.
        truth: of the batch, on the device of the predictions.
        columns: the column of each class.
        like: a tensor on that device.

    Source: ours (the paper's p is the image's, see `evaluation.hardness`).
    """
    boxes, index = truth.boxes_px[truth.pasted], truth.image_index[truth.pasted]
    labels = truth.labels[truth.pasted].tolist()
    found = like.new_zeros(len(boxes)).float()
    for number, (predicted, scores) in enumerate(images):
        for row in (index == number).nonzero().flatten().tolist():
            column = columns[labels[row]]
            near = box_iou(boxes[row, None].to(predicted), predicted[:, min(column, predicted.shape[1] - 1)])[0]
            hits = scores[near >= _IOU, column]
            found[row] = hits.max() if len(hits) else 0.0
    return found
