"""What an ONNX file's outputs say, as answers to the task: the whole of a target that only judges."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.ops import batched_nms, box_convert

from terse.errors import RecipeError
from terse.targets.detector.config import columns_of_classes
from terse.targets.onnx.config import OnnxConfig
from terse.targets.onnx.session import OnnxSession
from terse.targets.overlaps import Predictions, best_scores
from terse.types import Truth

__all__ = ["OnnxClassifier", "OnnxDetector"]

_ROUNDING = 1e-2  # of sums of probabilities, in half precision too
_TINY = 1e-12


class OnnxClassifier:
    """A classifier in a file.

    Raises:
        RecipeError: its outputs are not what was declared.
    """

    def __init__(self, settings: OnnxConfig, classes: Sequence[str], canvas_px: int) -> None:
        self.classes = tuple(classes)
        self._session = OnnxSession(settings, canvas_px)
        self.named = self._session.named
        ((self._name, output),) = settings.outputs.names.items()
        found = self._values(self._session.examples())
        if found.ndim != 2:
            raise _other(f"target.outputs.{self._name}", "(images, classes)", output, found.shape)
        self.columns = _columns(settings, self.classes, self._name, found)
        sums = found.sum(axis=1)
        if self._name == "probabilities" and (np.abs(sums - 1) > _ROUNDING).any():
            raise RecipeError(
                f"target.outputs.probabilities: expected rows that sum to 1, got {sums.tolist()} of {output!r}; are they logits?"
            )

    def confidence(self, images: Float[Tensor, "b c h w"], truth: Truth) -> Float[Tensor, " n_pasted"]:
        """The probability of the true class of each pasted object."""
        found = self.predict(images)
        return found[truth.image_index[truth.pasted].to(found.device), truth.labels[truth.pasted].to(found.device)]

    def predict(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes"]:
        """The probabilities of the task's classes, among these alone where the model knows more."""
        found = torch.from_numpy(self._values(images).astype(np.float32))[:, list(self.columns)].to(images.device)
        if self._name == "logits":
            return found.softmax(dim=1)
        return found / found.sum(dim=1, keepdim=True).clamp(min=_TINY)

    def _values(self, images: Tensor) -> np.ndarray:
        return self._session(images)[self._name]


class OnnxDetector:
    """A detector in a file.

    Raises:
        RecipeError: its outputs are not what was declared.
    """

    def __init__(self, settings: OnnxConfig, classes: Sequence[str], canvas_px: int) -> None:
        self.classes = tuple(classes)
        self._settings = settings
        self._session = OnnxSession(settings, canvas_px)
        self.named = self._session.named
        labels = settings.labels
        self.columns = tuple(range(len(classes))) if labels is None else tuple(labels.get(name, -1) for name in classes)
        missing = [name for name, column in zip(self.classes, self.columns, strict=True) if column < 0]
        if missing:
            raise RecipeError(f"target.labels: expected a label for each class, got none for {', '.join(missing)}")
        next(self._predictions(self._session.examples()))

    def confidence(self, images: Float[Tensor, "b c h w"], truth: Truth) -> Float[Tensor, " n_pasted"]:
        """Of each pasted object, the highest score of its class among the boxes that overlap it."""
        found = best_scores(self._predictions(images), truth.to("cpu"), range(len(self.classes)), torch.zeros(0))
        return found.to(images.device)

    def predict(self, images: Float[Tensor, "b c h w"]) -> list[dict[str, Tensor]]:
        """Boxes in pixels of the images, task classes and scores, best first."""
        answers = []
        for boxes, scores in self._predictions(images):
            row, label = (scores >= self._settings.min_score).nonzero(as_tuple=True)
            found = {"boxes": boxes[row, 0], "labels": label, "scores": scores[row, label]}
            if self._settings.suppress is not None:
                kept = batched_nms(found["boxes"], found["scores"], found["labels"], self._settings.suppress)
            else:
                kept = found["scores"].argsort(descending=True, stable=True)
            answers.append({name: value[kept].to(images.device) for name, value in found.items()})
        return answers

    def _predictions(self, images: Tensor) -> Iterator[Predictions]:
        """Each image's boxes in its own pixels, and the scores of the task's classes."""
        outputs = self._session(images)
        boxes, scores = self._split(outputs, len(images))
        height, width = images.shape[-2:]
        unit = self._session.side_px if self._settings.unit == "pixels" else 1
        size = torch.tensor([width, height, width, height]) / unit
        for box, score in zip(boxes, scores, strict=True):
            corners = box_convert(torch.from_numpy(box.astype(np.float32)), self._settings.box, "xyxy") * size
            within = corners.clamp(min=0).minimum(torch.tensor([width, height, width, height]))
            yield Predictions(within[:, None], torch.from_numpy(score.astype(np.float32)))

    def _split(self, outputs: dict[str, np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (images, n, 4) and the scores of the task's classes (images, n, classes)."""
        if "raw" in outputs:
            return self._raw(outputs["raw"], count)
        if "rows" in outputs:
            rows = self._seen("rows", outputs["rows"], count, 6)
            return rows[..., :4], self._columned(rows[..., 4], rows[..., 5])
        boxes, scores = self._seen("boxes", outputs["boxes"], count, 4), outputs["scores"]
        if "labels" in outputs:
            for name in ("scores", "labels"):
                if outputs[name].shape != boxes.shape[:2]:
                    raise self._unlike(name, "(images, n) as its boxes are", outputs[name])
            return boxes, self._columned(scores, outputs["labels"])
        if scores.ndim != 3 or scores.shape[:2] != boxes.shape[:2]:
            raise self._unlike(
                "scores", "(images, n, classes) as its boxes are, because no labels are declared", scores
            )
        return boxes, self._chosen("scores", scores)

    def _raw(self, raw: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        first = 5 if self._settings.objectness else 4
        known, least = first + len(self.classes), first + 1 + max(self.columns)
        named = self._settings.labels is not None
        if raw.ndim != 3 or len(raw) != count or (named and max(raw.shape[1:]) < least):
            layout = f"(images, {first} + classes, n) or (images, n, {first} + classes), {least} or more"
            raise self._unlike("raw", layout, raw)
        if not named and known not in raw.shape[1:]:
            raise self._of_other_width(raw)
        # Boxes are many, classes few; where labels are given the number of classes need not be the task's.
        rows = (
            raw
            if raw.shape[2] == known or (raw.shape[1] != known and raw.shape[1] > raw.shape[2])
            else raw.swapaxes(1, 2)
        )
        scores = self._chosen("raw", rows[..., first:])
        return rows[..., :4], scores * rows[..., 4:5] if self._settings.objectness else scores

    def _of_other_width(self, raw: np.ndarray) -> RecipeError:
        """A column too many may be a background's or objectness: nothing in the file tells, so neither is supposed."""
        box, advice = "a box", "true where it stands before the scores, as in YOLOv5's"
        if self._settings.objectness:
            box, advice = "a box, objectness", "false where there is none"
        return RecipeError(
            f"target.outputs.raw: expected 4 numbers of {box} and {len(self.classes)} class scores in a row, because no "
            f"labels are declared, got {raw.shape} of {self._settings.outputs.raw!r}; write objectness: {advice}, or labels"
        )

    def _chosen(self, name: str, scores: np.ndarray) -> np.ndarray:
        return scores[..., _columns(self._settings, self.classes, name, scores)]

    def _columned(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """A column for each class: the score in that of the box's label, 0 in the others."""
        return np.where(np.rint(labels)[..., None] == np.array(self.columns), scores[..., None], 0.0)

    def _seen(self, name: str, value: np.ndarray, count: int, width: int) -> np.ndarray:
        if value.ndim != 3 or len(value) != count or value.shape[2] != width:
            raise self._unlike(name, f"(images, n, {width})", value)
        return value

    def _unlike(self, name: str, wanted: str, value: np.ndarray) -> RecipeError:
        output = self._settings.outputs.names[name]
        return _other(f"target.outputs.{name}", wanted, output, value.shape)


def _columns(settings: OnnxConfig, classes: Sequence[str], name: str, found: np.ndarray) -> list[int]:
    """The column of each class. One too many may be a background's, first or last: nothing in the file tells."""
    if settings.labels is None and found.shape[-1] == len(classes) + 1:
        raise RecipeError(
            f"target.outputs.{name}: expected {len(classes)} classes, because no labels are declared, got {found.shape} of "
            f"{settings.outputs.names[name]!r}; where one is a background write labels: {{{classes[0]}: 1, ...}}"
        )
    return columns_of_classes(classes, found.shape[-1], settings.labels, softmax=False)


def _other(field: str, wanted: str, output: str, shape: Sequence[int]) -> RecipeError:
    return RecipeError(f"{field}: expected {wanted}, got {tuple(shape)} of {output!r}; declare what it holds")
