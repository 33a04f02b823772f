"""Average precision against pycocotools, and VOC's eleven points against a case worked by hand."""

import contextlib
import io
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor, nn

from terse.evaluation.detection import detection_scores, evaluate_detector
from terse.evaluation.voc_ap import voc07_ap
from terse.types import Truth

CLASSES = ("person", "dog", "kite")
KITE = 2
CANVAS = 200


def drawn(seed: int, images: int = 6, *, ignored: float = 0.2) -> tuple[list[dict[str, Tensor]], Truth]:
    """Objects of two classes of three, and detections that are some of them moved, some of them made up."""
    rng = np.random.default_rng(seed)
    boxes, labels, index, found = [], [], [], []
    for image in range(images):
        count = int(rng.integers(0, 5))
        corner = rng.uniform(0, 120, (count, 2))
        truth = np.concatenate([corner, corner + rng.uniform(6, 130, (count, 2))], axis=1)
        label = rng.integers(0, KITE, count)
        boxes.append(truth)
        labels.append(label)
        index.append(np.full(count, image))
        moved = np.concatenate([truth + rng.normal(0, 6, truth.shape), truth + rng.normal(0, 15, truth.shape)])
        extra = rng.uniform(0, 80, (3, 2))
        moved = np.concatenate([moved, np.concatenate([extra, extra + rng.uniform(5, 90, (3, 2))], axis=1)])
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        named = np.where(rng.random(len(moved)) < 0.8, np.concatenate([label, label, rng.integers(0, 3, 3)]), 1)
        found.append(
            {
                "boxes": torch.from_numpy(moved).float(),
                "labels": torch.from_numpy(named),
                "scores": torch.from_numpy(rng.permutation(len(moved)) / 50 + rng.uniform(0, 0.01)).float(),
            }
        )
    count = sum(map(len, boxes))
    return found, Truth(
        torch.from_numpy(np.concatenate(labels)),
        torch.from_numpy(np.concatenate(boxes)).float(),
        torch.from_numpy(np.concatenate(index)),
        torch.zeros(count, dtype=torch.bool),
        torch.from_numpy(rng.random(count) < ignored),
        images,
    )


def pycoco(found: list[dict[str, Tensor]], truth: Truth) -> COCOeval:
    """The same judged by COCO's own code."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": image} for image in range(truth.batch_size)],
            "categories": [{"id": label} for label in range(len(CLASSES))],
            "annotations": [
                {
                    "id": row + 1,
                    "image_id": int(truth.image_index[row]),
                    "category_id": int(truth.labels[row]),
                    "bbox": [x, y, right - x, low - y],
                    "area": (right - x) * (low - y),
                    "iscrowd": int(truth.ignore[row]),
                }
                for row, (x, y, right, low) in enumerate(truth.boxes_px.tolist())
            ],
        }
        coco.createIndex()
        rows = [
            [image, x, y, right - x, low - y, score, label]
            for image, one in enumerate(found)
            for (x, y, right, low), score, label in zip(
                one["boxes"].tolist(), one["scores"].tolist(), one["labels"].tolist(), strict=True
            )
        ]
        judged = COCOeval(coco, coco.loadRes(np.array(rows)), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return judged


def mean(precision: np.ndarray) -> float | None:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else None


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_ap_is_pycocotools(seed: int) -> None:
    found, truth = drawn(seed)
    scores = detection_scores(found, truth, CLASSES)
    if not len(truth.labels):
        assert scores["ap50"] is None
        return
    judged = pycoco(found, truth)
    precision = judged.eval["precision"][..., -1]  # IoU, recall, class, size
    expected = {"ap50": precision[0], "ap60": precision[2], "ap70": precision[4], "ap80": precision[6]}
    for name, part in expected.items():
        assert scores[name] == pytest.approx(mean(part[..., 0])), name
        for label, class_name in enumerate(CLASSES):
            assert scores["by_class"][class_name][name] == pytest.approx(mean(part[:, label, 0]))
        for row, size in enumerate(("small", "medium", "large")):
            assert scores["by_size"][size][name] == pytest.approx(mean(part[..., 1 + row]))
    assert scores["coco_ap"] == pytest.approx(mean(precision[..., 0]))
    at = [scores[name] for name in expected]
    assert scores["ap"] == (None if at[0] is None else pytest.approx(np.mean(at)))


def test_the_drawn_cases_tell_detectors_apart() -> None:
    aps = [detection_scores(*drawn(seed), CLASSES)["ap50"] for seed in range(5)]
    assert all(0.05 < ap < 0.99 for ap in aps)
    assert len(set(aps)) == len(aps)


def test_objects_are_counted_without_the_ignored_and_by_size() -> None:
    truth = Truth(
        torch.tensor([0, 0, 1, 1]),
        torch.tensor([[0.0, 0, 31, 32], [0, 0, 32, 32], [0, 0, 96, 96], [0, 0, 10, 10]]),
        torch.tensor([0, 0, 1, 2]),
        torch.zeros(4, dtype=torch.bool),
        torch.tensor([False, False, False, True]),
        3,
    )
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "scores": torch.zeros(0)}
    scores = detection_scores([nothing] * 3, truth, CLASSES)
    assert (scores["images"], scores["objects"]) == (3, 3)
    assert {name: part["objects"] for name, part in scores["by_size"].items()} == {"small": 1, "medium": 1, "large": 1}
    assert {name: part["objects"] for name, part in scores["by_class"].items()} == {"person": 2, "dog": 1, "kite": 0}
    assert scores["ap50"] == 0.0
    assert scores["by_class"]["kite"]["ap50"] is None
    assert scores["by_class"]["kite"]["voc07_ap50"] is None


def test_a_detection_of_an_ignored_object_is_neither_right_nor_wrong() -> None:
    boxes = torch.tensor([[10.0, 10, 60, 60], [100, 100, 160, 160]])
    labels = torch.zeros(2, dtype=torch.int64)
    truth = Truth(labels, boxes, labels, torch.zeros(2, dtype=torch.bool), torch.tensor([False, True]), 1)
    found = [{"boxes": boxes.flip(0), "labels": labels, "scores": torch.tensor([0.9, 0.8])}]
    assert detection_scores(found, truth, ("person",))["ap50"] == 1.0
    assert detection_scores(found, truth, ("person",))["voc07_ap50"] == 1.0
    only_ignored = [{name: part[:1] for name, part in found[0].items()}]
    assert detection_scores(only_ignored, truth, ("person",))["ap50"] == 0.0
    assert detection_scores(only_ignored, truth, ("person",))["voc07_ap50"] == 0.0


def test_voc07_by_hand() -> None:
    # Two images, four objects. By score: right, wrong, right, a second detection of the first, right; one is missed.
    # Precision at recall 1/4, 2/4, 3/4: 1, 2/3, 3/5. Tenths up to 0.2: 1; to 0.5: 2/3; to 0.7: 3/5; above: 0.
    first = np.array([[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]])
    second = np.array([[0.0, 0, 10, 10]])
    boxes = [
        np.array([[0.0, 0, 10, 10], [0, 1, 10, 10], [20, 0, 30, 9]]),
        np.array([[50.0, 50, 60, 60], [0, 0, 10, 9]]),
    ]
    scores = [np.array([0.9, 0.6, 0.7]), np.array([0.8, 0.5])]
    fine = [np.zeros(3, dtype=bool), np.zeros(1, dtype=bool)]
    assert voc07_ap(boxes, scores, [first, second], fine) == pytest.approx((3 * 1 + 3 * 2 / 3 + 2 * 3 / 5) / 11)


def test_voc07_gives_the_second_detection_of_an_object_no_neighbour() -> None:
    # Both detections overlap the left object most; COCO would give the second one the right object.
    truth = np.array([[0.0, 0, 10, 10], [3, 0, 13, 10]])
    boxes = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10]])
    args = ([boxes], [np.array([0.9, 0.8])], [truth], [np.zeros(2, dtype=bool)])
    assert voc07_ap(*args) == pytest.approx(6 / 11)  # recall stops at 1/2
    found = [{"boxes": torch.tensor(boxes), "labels": torch.tensor([0, 0]), "scores": torch.tensor([0.9, 0.8])}]
    no = torch.zeros(2, dtype=torch.bool)
    zero = torch.zeros(2, dtype=torch.int64)
    assert detection_scores(found, Truth(zero, torch.tensor(truth).float(), zero, no, no, 1), ("a",))["ap50"] == 1.0


class _Fixed:
    """A target that answers from a list, in the order it is asked."""

    def __init__(self, found: list[dict[str, Tensor]]) -> None:
        self.module = nn.Identity()
        self.found = list(found)
        self.batches: list[int] = []

    def attack_loss(self, images: Tensor, truth: Truth) -> Tensor:
        raise AssertionError

    train_loss = confidence = attack_loss

    def predict(self, images: Tensor) -> list[Mapping[str, Tensor]]:
        self.batches.append(len(images))
        taken, self.found = self.found[: len(images)], self.found[len(images) :]
        return taken


class _Images:
    def __init__(self, truth: Truth) -> None:
        self.truth = truth

    def __len__(self) -> int:
        return self.truth.batch_size

    def fetch(self, indices: np.ndarray) -> tuple[Tensor, Truth]:
        return torch.zeros(len(indices), 3, 8, 8), self.truth.take(indices.tolist())


def test_evaluation_goes_through_all_images_in_batches() -> None:
    found, truth = drawn(3, images=7)
    target = _Fixed(found)
    scores = evaluate_detector(target, _Images(truth), batch_size=3, classes=CLASSES)
    assert target.batches == [3, 3, 1]
    assert scores == detection_scores(found, truth, CLASSES)


def test_classes_without_names_are_numbered() -> None:
    found, truth = drawn(3)
    scores = evaluate_detector(_Fixed(found), _Images(truth))
    assert list(scores["by_class"]) == ["0", "1", "2"]
