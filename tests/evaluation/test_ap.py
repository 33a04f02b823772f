"""Average precision against pycocotools, VOC's eleven points and pseudo-values by hand and against faster-coco-eval."""

import contextlib
import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from drawn_detections import CLASSES, drawn
from terse.evaluation.ap import PAPER_IOUS, ap_pseudo_values, detection_scores, ious_of, voc07_ap
from terse.evaluation.matching import IGNORED, WRONG, match
from terse.types import Truth


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
    truth = of_one_class(
        [[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]],
        [[0.0, 0, 10, 10]],
    )
    found = [
        detected([[0.0, 0, 10, 10], [0, 1, 10, 10], [20, 0, 30, 9]], [0.9, 0.6, 0.7]),
        detected([[50.0, 50, 60, 60], [0, 0, 10, 9]], [0.8, 0.5]),
    ]
    assert voc07_ap(found, truth, 2) == [pytest.approx((3 * 1 + 3 * 2 / 3 + 2 * 3 / 5) / 11), None]


def test_voc07_gives_the_second_detection_of_an_object_no_neighbour() -> None:
    # Both detections overlap the left object most; COCO gives the second one the right object.
    truth = of_one_class([[0.0, 0, 10, 10], [3, 0, 13, 10]])
    found = detected([[0.0, 0, 10, 10], [1, 0, 11, 10]], [0.9, 0.8])
    assert voc07_ap([found], truth, 1) == [pytest.approx(6 / 11)]  # recall stops at 1/2
    assert detection_scores([found], truth, ("a",))["ap50"] == 1.0
    assert match(found["boxes"], found["labels"], truth, voc=True).tolist() == [0, WRONG]
    assert match(found["boxes"], found["labels"], truth).tolist() == [0, 1]


def test_what_a_detection_finds() -> None:
    truth = of_one_class([[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 60, 20]], ignored=[2])
    boxes = torch.tensor([[0.0, 0, 10, 9], [0, 0, 10, 10], [20, 0, 30, 10], [45, 5, 50, 10], [41, 1, 46, 6]])
    labels = torch.tensor([0, 0, 1, 0, 0])  # the third is of another class
    assert match(boxes, labels, truth).tolist() == [0, WRONG, WRONG, IGNORED, IGNORED]
    # A crowd in VOC is an object that is too difficult: a box has to cover half of it.
    assert match(boxes, labels, truth, voc=True).tolist() == [0, WRONG, WRONG, WRONG, WRONG]
    assert match(boxes, labels, Truth.empty(1)).tolist() == [WRONG] * 5


def of_one_class(*images: list[list[float]], ignored: tuple[int, ...] | list[int] = ()) -> Truth:
    boxes = torch.tensor([box for image in images for box in image])
    index = torch.tensor([number for number, image in enumerate(images) for _ in image])
    no = torch.zeros(len(boxes), dtype=torch.bool)
    ignore = torch.isin(torch.arange(len(boxes)), torch.tensor(ignored, dtype=torch.int64))
    return Truth(torch.zeros(len(boxes), dtype=torch.int64), boxes, index, no, ignore, len(images))


def detected(boxes: list[list[float]], scores: list[float]) -> dict[str, Tensor]:
    labels = torch.zeros(len(boxes), dtype=torch.int64)
    return {"boxes": torch.tensor(boxes), "labels": labels, "scores": torch.tensor(scores)}


def drawn_with_ties(seed: int, *, images: int = 30, classes: int = 3) -> tuple[list[dict[str, torch.Tensor]], Truth]:
    """Objects, some ignored; detections near some of them, doubled at times, and false ones; equal scores occur."""
    draw = np.random.default_rng(seed)
    found, boxes, labels, index = [], [], [], []
    for i in range(images):
        count = int(draw.integers(0, 5))
        corner = draw.uniform(0, 60, (count, 2))
        own = np.concatenate([corner, corner + draw.uniform(8, 40, (count, 2))], axis=1)
        of = draw.integers(0, classes, count)
        boxes.append(own)
        labels.append(of)
        index += [i] * count
        near = np.repeat(own, 2, axis=0) + draw.normal(0, 3, (2 * count, 4))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)  # COCO leaves boxes of negative area out
        far_corner = draw.uniform(0, 60, (3, 2))
        far = np.concatenate([far_corner, far_corner + draw.uniform(8, 40, (3, 2))], axis=1)
        every, given = np.concatenate([near, far]), np.concatenate([np.repeat(of, 2), draw.integers(0, classes, 3)])
        keep = draw.random(len(every)) < 0.7
        scores = np.round(draw.random(int(keep.sum())), 2)
        found.append(
            {
                "boxes": torch.from_numpy(every[keep]).float(),
                "labels": torch.from_numpy(given[keep]),
                "scores": torch.from_numpy(scores).float(),
            }
        )
    total = len(index)
    ignore = torch.from_numpy(draw.random(total) < 0.15)
    truth = Truth(
        torch.from_numpy(np.concatenate(labels)),
        torch.from_numpy(np.concatenate(boxes)).float(),
        torch.tensor(index),
        torch.zeros(total, dtype=torch.bool),
        ignore,
        images,
    )
    return found, truth


@pytest.mark.parametrize("seed", range(6))
def test_one_block_is_the_ap_of_coco(seed: int) -> None:
    found, truth = drawn_with_ties(seed)
    whole = ap_pseudo_values(found, truth, blocks=1)  # nothing is left without it
    assert whole == [pytest.approx(detection_scores(found, truth, ["a", "b", "c"])["ap50"], abs=1e-9)]


def test_a_pseudo_value_by_leaving_the_block_out() -> None:
    found, truth = drawn_with_ties(9, images=12)
    values = ap_pseudo_values(found, truth, blocks=4)
    assert len(values) == 4
    kept = [i for i in range(12) if i % 4 != 1]
    whole = detection_scores(found, truth, ["a", "b", "c"])["ap50"]
    rest = detection_scores([found[i] for i in kept], truth.take(kept), ["a", "b", "c"])["ap50"]
    assert values[1] == pytest.approx(4 * whole - 3 * rest, abs=1e-9)
    assert np.mean(values) == pytest.approx(whole, abs=0.05)


def test_the_spread_of_pseudo_values_is_that_of_fresh_images() -> None:
    """The jackknife's standard error against that over many test sets of the same kind."""
    errors, aps = [], []
    for seed in range(40):
        found, truth = drawn_with_ties(100 + seed, images=50, classes=1)
        values = ap_pseudo_values(found, truth)
        aps.append(ap_pseudo_values(found, truth, blocks=1)[0])
        errors.append(np.std(values, ddof=1) / np.sqrt(len(values)))
    assert np.mean(errors) == pytest.approx(np.std(aps, ddof=1), rel=0.3)


def test_without_an_object() -> None:
    found, _ = drawn_with_ties(0, images=3)
    assert np.isnan(ap_pseudo_values(found, Truth.empty(3), blocks=1)).all()


def test_voc07_at_higher_ious() -> None:
    # The second detection overlaps its object by 0.75: right at 0.5 to 0.7, wrong at 0.8.
    truth = of_one_class([[0.0, 0, 10, 10], [40, 0, 48, 10]])
    found = [detected([[0.0, 0, 10, 10], [40, 0, 46, 10]], [0.9, 0.8])]
    scores = detection_scores(found, truth, ("person",), PAPER_IOUS)
    assert [scores[f"voc07_ap{iou}"] for iou in (50, 60, 70)] == [1.0] * 3
    assert scores["voc07_ap80"] == pytest.approx(6 / 11)
    assert scores["voc07_ap"] == pytest.approx((3 + 6 / 11) / 4)
    assert scores["by_class"]["person"]["voc07_ap80"] == scores["voc07_ap80"]
    assert "voc07_ap80" not in detection_scores(found, truth, ("person",))


@pytest.mark.parametrize("name", ["ap50", "ap", "coco_ap", "voc07_ap50", "voc07_ap80", "voc07_ap"])
def test_pseudo_values_are_of_the_metric_that_is_named(name: str) -> None:
    found, truth = drawn_with_ties(3)
    voc = name.startswith("voc07")
    whole = ap_pseudo_values(found, truth, ious_of(name), voc=voc, blocks=1)
    scores = detection_scores(found, truth, ["a", "b", "c"], PAPER_IOUS)
    assert whole == [pytest.approx(scores[name], abs=1e-9)]
