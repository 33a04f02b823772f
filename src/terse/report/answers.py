"""What the model said of real images at the start and says at the end (paper, Fig. 9)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from terse.protocols import RealImages, Target
from terse.recipe import Recipe
from terse.report.parts import Answer, BeforeAfter, Box
from terse.report.pool_pictures import spread, to_uint8
from terse.targets.weights import load_weights
from terse.training.seeding import reseed

__all__ = ["Answers", "answers_of", "classifier_answers", "detector_answers", "match", "target_of"]

_IOU = 0.5
_MOST_CLASSIFIED, _MOST_DETECTED = (2000, 24)  # test images looked at: a detector takes a tenth of a second for each
_BATCH = 256
_LEAST_SCORE = 0.5


@dataclass(frozen=True, slots=True)
class Answers:
    """Pairs, and how they were chosen."""

    pairs: Sequence[BeforeAfter]
    note: str


def target_of(recipe: Recipe, classes: tuple[str, ...], weights: Path | None) -> Target:
    """The recipe's target with these weights, or as the recipe begins with it."""
    reseed(recipe.seed, 0, "target weights", 0)
    target: Target = recipe.target.build(classes=classes, canvas_px=recipe.canvas_px)
    if weights is not None:
        load_weights(target.module, weights)
    target.module.to(torch.device("cpu"))
    return target


def answers_of(task: str, before: Target, after: Target, images: RealImages, classes: tuple[str, ...]) -> Answers:
    """What changed between two models of a task."""
    if len(images) == 0:
        return Answers((), "")
    answer = classifier_answers if task == "classification" else detector_answers
    return answer(before, after, images, classes)


def classifier_answers(before: Target, after: Target, images: RealImages, classes: tuple[str, ...]) -> Answers:
    """Images whose answer changed, gains and losses in the proportion in which they occur."""
    rows = spread(len(images), _MOST_CLASSIFIED)
    said, truth = [], []
    for part in np.array_split(rows, -(-len(rows) // _BATCH)):
        batch, known = images.fetch(part)
        with torch.no_grad():
            said.append(torch.stack([before.predict(batch), after.predict(batch)]).float().cpu())
        truth.append(known.labels)
    score, guess = torch.cat(said, dim=1).max(dim=2)
    label = torch.cat(truth)
    right = guess == label
    gained, lost = (torch.nonzero(~right[0] & right[1]).flatten(), torch.nonzero(right[0] & ~right[1]).flatten())
    room = 24
    share = round(room * len(lost) / max(1, len(lost) + len(gained)))
    losses = min(len(lost), max(share, 1))
    chosen = torch.cat([gained[spread(len(gained), room - losses)], lost[spread(len(lost), losses)]])
    pairs = []
    for k in chosen.tolist():
        old, new = (_answer(classes[int(guess[i, k])], float(score[i, k]), right=bool(right[i, k])) for i in (0, 1))
        picture = to_uint8(images.fetch(rows[k : k + 1])[0])[0]
        pairs.append(BeforeAfter(picture, old, new, name=f"truth: {classes[int(label[k])]}"))
    note = (
        f"Of {len(rows):,} test images, {len(gained):,} went from wrong to right and {len(lost):,} from right to wrong. "
        f"Shown are {len(pairs)} of these."
    )
    return Answers(pairs, note)


def detector_answers(before: Target, after: Target, images: RealImages, classes: tuple[str, ...]) -> Answers:
    """The images on which most changed, for better or worse."""
    made: list[tuple[int, BeforeAfter]] = []
    rows = spread(len(images), _MOST_DETECTED)
    before_all = after_all = objects_all = 0
    for row in rows:
        image, truth = images.fetch(np.array([row]))
        keep = ~truth.ignore
        objects = int(keep.sum())
        with torch.no_grad():
            said = [target.predict(image)[0] for target in (before, after)]
        old, new = (match(truth.boxes_px[keep], truth.labels[keep], answer, classes) for answer in said)
        found, wrong = zip(*(_counts(boxes) for boxes in (old, new)), strict=True)
        before_all, after_all, objects_all = (before_all + found[0], after_all + found[1], objects_all + objects)
        pair = BeforeAfter(
            to_uint8(image)[0],
            Answer(_caption(found[0], objects, wrong[0]), old),
            Answer(_caption(found[1], objects, wrong[1]), new),
            name=f"test image {row}",
        )
        made.append((2 * abs(found[1] - found[0]) + abs(wrong[1] - wrong[0]), pair))
    chosen = sorted((pair for pair in made if pair[0]), key=lambda pair: -pair[0])[:8]
    note = (
        f"Of {objects_all:,} objects in {len(rows)} test images, {before_all:,} were found at the start and {after_all:,} "
        f"at the end (score at least {_LEAST_SCORE:g}, IoU at least {_IOU:g}). Shown are the images that changed most, "
        "for better or worse."
    )
    return Answers([pair for _, pair in chosen], note)


def match(boxes: Tensor, labels: Tensor, said: dict[str, Any], classes: tuple[str, ...]) -> list[Box]:
    """Detections beside the truth: found ones, then missed objects, then false alarms.

    The highest score takes its best free object of its own class, at IoU 0.5 or more, as AP counts.
    """
    keep = said["scores"] >= _LEAST_SCORE
    order = said["scores"][keep].argsort(descending=True)
    found, scores, names = (said[key][keep][order].cpu() for key in ("boxes", "scores", "labels"))
    overlap = box_iou(found.float(), boxes.float().cpu()) * (names[:, None] == labels.cpu()[None, :])
    free = torch.ones(len(boxes), dtype=torch.bool)
    correct: list[Box] = []
    false: list[Box] = []
    for number in range(len(found)):
        candidates = overlap[number] * free
        best = int(candidates.argmax()) if len(boxes) else -1
        hit = best >= 0 and float(candidates[best]) >= _IOU
        if hit:
            free[best] = False
        box = Box(
            _xyxy(found[number]), classes[int(names[number])], float(scores[number]), "correct" if hit else "false"
        )
        (correct if hit else false).append(box)
    missed = [
        Box(_xyxy(boxes[k]), classes[int(labels[k])], None, "missed") for k in torch.nonzero(free).flatten().tolist()
    ]
    return [*correct, *missed, *false]


def _answer(word: str, score: float, right: bool) -> Answer:
    return Answer(f"{word}, p {score:.2f}, {'right' if right else 'wrong'}", tone="good" if right else "bad")


def _counts(boxes: Sequence[Box]) -> tuple[int, int]:
    """Objects found, and false alarms."""
    return sum(box.state == "correct" for box in boxes), sum(box.state == "false" for box in boxes)


def _caption(found: int, objects: int, wrong: int) -> str:
    alarms = f", {wrong} false alarm{'' if wrong == 1 else 's'}" if wrong else ""
    return f"{found} of {objects} found{alarms}"


def _xyxy(box: Tensor) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(value) for value in box)
    return x0, y0, x1, y1
