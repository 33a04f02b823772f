import numpy as np
import pytest
import torch

from terse.report.answers import classifier_answers, detector_answers, match
from terse.types import Truth

CLASSES = ("cat", "dog")


class Images:
    """Grey images whose first pixel is their number."""

    def __init__(self, truths):
        self.truths = truths

    def __len__(self):
        return len(self.truths)

    def fetch(self, indices):
        images = torch.stack([torch.full((3, 16, 16), float(i) / 255) for i in indices])
        return images, Truth.join([self.truths[int(i)] for i in indices])


class Says:
    """A model that says what it is told to, by the number in the image."""

    def __init__(self, answers):
        self.answers = answers

    def predict(self, images):
        numbers = (images[:, 0, 0, 0] * 255).round().long().tolist()
        said = [self.answers[n] for n in numbers]
        return torch.stack(said) if isinstance(said[0], torch.Tensor) else said


def truth(label, *boxes):
    n = len(boxes) or 1
    no = torch.zeros(n, dtype=torch.bool)
    box = torch.tensor(boxes, dtype=torch.float32) if boxes else torch.zeros(1, 4)
    return Truth(torch.full((n,), label), box, torch.zeros(n, dtype=torch.int64), no, no, 1)


def sure(label):
    return torch.eye(2)[label] * 0.8 + 0.1


def test_a_classifiers_changed_answers_are_shown_and_counted():
    labels = [k % 2 for k in range(20)]
    images = Images([truth(label) for label in labels])
    before = Says([sure(1 - label) if k < 10 else sure(label) for k, label in enumerate(labels)])
    after = Says([sure(label) if k < 18 else sure(1 - label) for k, label in enumerate(labels)])
    answers = classifier_answers(before, after, images, CLASSES)
    assert answers.note == (
        "Of 20 test images, 10 went from wrong to right and 2 from right to wrong. Shown are 12 of these."
    )
    first, last = answers.pairs[0], answers.pairs[-1]
    assert (first.name, first.before.caption, first.after.caption) == (
        "truth: cat", "dog, p 0.90, wrong", "cat, p 0.90, right",
    )  # fmt: skip
    assert (last.before.tone, last.after.tone) == ("good", "bad")
    assert [int(pair.image[0, 0, 0]) for pair in answers.pairs] == [*range(10), 18, 19]


def test_a_model_that_did_not_change_has_no_pairs():
    images = Images([truth(0)] * 5)
    same = Says([sure(0)] * 5)
    answers = classifier_answers(same, same, images, CLASSES)
    assert answers.pairs == []
    assert answers.note.startswith("Of 5 test images, 0 went from wrong to right and 0 from right to wrong.")


def said(*rows):
    boxes = torch.tensor([row[0] for row in rows], dtype=torch.float32).reshape(-1, 4)
    scores, labels = ([row[k] for row in rows] for k in (1, 2))
    return {"boxes": boxes, "scores": torch.tensor(scores), "labels": torch.tensor(labels, dtype=torch.int64)}


def test_detections_are_matched_as_ap_does():
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 20, 40, 40], [50, 50, 60, 60]])
    labels = torch.tensor([0, 0, 1])
    found = match(
        boxes,
        labels,
        said(
            ([0, 0, 10, 9], 0.7, 0),  # twice the same object: the surer one counts
            ([0, 0, 10, 10], 0.9, 0),
            ([20, 20, 40, 29], 0.8, 0),  # IoU 0.45
            ([50, 50, 60, 60], 0.9, 0),  # another class
            ([50, 50, 60, 60], 0.4, 1),  # not sure enough
        ),
        CLASSES,
    )
    assert [(box.state, box.label, box.score) for box in found] == [
        ("correct", "cat", pytest.approx(0.9)),
        ("missed", "cat", None),
        ("missed", "dog", None),
        ("false", "cat", pytest.approx(0.9)),
        ("false", "cat", pytest.approx(0.8)),
        ("false", "cat", pytest.approx(0.7)),
    ]


def test_nothing_in_the_image_and_nothing_said():
    empty = torch.zeros(0, 4)
    assert match(empty, torch.zeros(0, dtype=torch.int64), said(), CLASSES) == []
    found = match(empty, torch.zeros(0, dtype=torch.int64), said(([0, 0, 4, 4], 0.9, 1)), CLASSES)
    assert [box.state for box in found] == ["false"]


def test_the_images_that_changed_most_stand_first():
    box, other = (1, 1, 9, 9), (10, 10, 15, 15)
    images = Images([truth(0, box), truth(0, box, other), truth(0, box)])
    before = Says([said(), said(), said((box, 0.9, 0))])
    after = Says([said((box, 0.9, 0)), said((box, 0.9, 0), (other, 0.8, 0)), said((box, 0.9, 0))])
    answers = detector_answers(before, after, images, CLASSES)
    assert [pair.name for pair in answers.pairs] == ["test image 1", "test image 0"]
    assert [answers.pairs[0].before.caption, answers.pairs[0].after.caption] == ["0 of 2 found", "2 of 2 found"]
    assert answers.note == (
        "Of 4 objects in 3 test images, 1 were found at the start and 4 at the end (score at least 0.5, IoU at least "
        "0.5). Shown are the images that changed most, for better or worse."
    )
    assert np.all(answers.pairs[0].image == 1)
