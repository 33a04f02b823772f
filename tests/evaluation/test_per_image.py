"""Pseudo-values by hand, and their AP against faster-coco-eval on random detections."""

import numpy as np
import pytest
import torch

from terse.evaluation.detection import detection_scores
from terse.evaluation.per_image import ap50_pseudo_values, correct_images
from terse.targets.classification_target import ClassificationTarget
from terse.types import Truth


def drawn(seed: int, *, images: int = 30, classes: int = 3) -> tuple[list[dict[str, torch.Tensor]], Truth]:
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
    found, truth = drawn(seed)
    whole = ap50_pseudo_values(found, truth, blocks=1)  # nothing is left without it
    assert whole == [pytest.approx(detection_scores(found, truth, ["a", "b", "c"])["ap50"], abs=1e-9)]


def test_a_pseudo_value_by_leaving_the_block_out() -> None:
    found, truth = drawn(9, images=12)
    values = ap50_pseudo_values(found, truth, blocks=4)
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
        found, truth = drawn(100 + seed, images=50, classes=1)
        values = ap50_pseudo_values(found, truth)
        aps.append(ap50_pseudo_values(found, truth, blocks=1)[0])
        errors.append(np.std(values, ddof=1) / np.sqrt(len(values)))
    assert np.mean(errors) == pytest.approx(np.std(aps, ddof=1), rel=0.3)


def test_without_an_object() -> None:
    found, _ = drawn(0, images=3)
    assert np.isnan(ap50_pseudo_values(found, Truth.empty(3), blocks=1)).all()


def test_correct_images_by_hand() -> None:
    class Always(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[0.0, 1.0]]).expand(len(images), 2)

    class Four:
        def __len__(self) -> int:
            return 4

        def fetch(self, indices: np.ndarray) -> tuple[torch.Tensor, Truth]:
            return torch.zeros(len(indices), 1, 2, 2), Truth.of_images(torch.tensor([1, 0, 1, 0])[indices])

    target = ClassificationTarget(Always(), ("zero", "one"))
    assert correct_images(target, Four(), batch_size=3) == [1.0, 0.0, 1.0, 0.0]
