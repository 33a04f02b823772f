import pytest
import torch

from drawn_detections import CLASSES as NAMES
from drawn_detections import drawn
from scripted_models import Images, Says, truth
from terse.errors import RecipeError
from terse.evaluation.ap import detection_scores
from terse.recipe_parts import GroupsConfig
from terse.tasks import detection as module
from terse.tasks.detection import Detection, judged_boxes
from terse.types import Truth

CLASSES = ("cat", "dog")


def said(*rows):
    boxes = torch.tensor([row[0] for row in rows], dtype=torch.float32).reshape(-1, 4)
    scores, labels = ([row[k] for row in rows] for k in (1, 2))
    return {"boxes": boxes, "scores": torch.tensor(scores), "labels": torch.tensor(labels, dtype=torch.int64)}


def test_detections_are_matched_as_ap_does():
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 20, 40, 40], [50, 50, 60, 60]])
    labels = torch.tensor([0, 0, 1])
    found = judged_boxes(
        said(
            ([0, 0, 10, 9], 0.7, 0),  # twice the same object: the surer one counts
            ([0, 0, 10, 10], 0.9, 0),
            ([20, 20, 40, 29], 0.8, 0),  # IoU 0.45
            ([50, 50, 60, 60], 0.9, 0),  # another class
            ([50, 50, 60, 60], 0.4, 1),  # not sure enough
        ),
        truth_of(boxes, labels),
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


def truth_of(boxes, labels, ignore=None):
    no = torch.zeros(len(boxes), dtype=torch.bool)
    return Truth(labels, boxes, torch.zeros_like(labels), no, no if ignore is None else ignore, 1)


def test_a_detection_of_an_ignored_object_is_no_false_alarm():
    boxes, labels = torch.tensor([[0.0, 0, 10, 10], [20, 20, 40, 40]]), torch.tensor([0, 0])
    crowded = truth_of(boxes, labels, ignore=torch.tensor([False, True]))
    answer = said(([0, 0, 10, 10], 0.9, 0), ([22, 22, 30, 30], 0.8, 0), ([20, 20, 40, 40], 0.7, 1))
    assert [box.state for box in judged_boxes(answer, crowded, CLASSES)] == ["correct", "false"]


def test_nothing_in_the_image_and_nothing_said():
    assert judged_boxes(said(), Truth.empty(1), CLASSES) == []
    found = judged_boxes(said(([0, 0, 4, 4], 0.9, 1)), Truth.empty(1), CLASSES)
    assert [box.state for box in found] == ["false"]


def test_the_images_that_changed_most_stand_first():
    box, other = (1, 1, 9, 9), (10, 10, 15, 15)
    images = Images([truth(0, box), truth(0, box, other), truth(0, box)])
    before = Says([said(), said(), said((box, 0.9, 0))])
    after = Says([said((box, 0.9, 0)), said((box, 0.9, 0), (other, 0.8, 0)), said((box, 0.9, 0))])
    answers = Detection().answers(before, after, images, CLASSES)
    assert [change.name for change in answers.changes] == ["image 1", "image 0"]
    assert [answers.changes[0].before.caption, answers.changes[0].after.caption] == ["0 of 2 found", "2 of 2 found"]
    assert answers.note == (
        "Of 4 objects in 3 images, 1 were found at the start and 4 at the end (score at least 0.5, IoU at least "
        "0.5). Shown are the images that changed most, for better or worse."
    )
    assert answers.changes[0].row == 1


class _Fixed:
    """A target that answers from a list, in the order it is asked."""

    def __init__(self, found):
        self.module = torch.nn.Identity()
        self.found = list(found)
        self.batches = []

    def attack_loss(self, images, truth):
        raise AssertionError

    train_loss = confidence = attack_loss

    def predict(self, images):
        self.batches.append(len(images))
        taken, self.found = self.found[: len(images)], self.found[len(images) :]
        return taken


class _Images:
    def __init__(self, truth):
        self.truth = truth

    def __len__(self):
        return self.truth.batch_size

    def fetch(self, indices):
        return torch.zeros(len(indices), 3, 8, 8), self.truth.take(indices.tolist())


def test_measuring_goes_through_all_images_in_batches(monkeypatch):
    found, truth = drawn(3, images=7)
    target = _Fixed(found)
    target.classes = NAMES
    monkeypatch.setattr(module, "_BATCH", 3)
    scores = Detection().measure(target, _Images(truth), "cpu")
    assert target.batches == [3, 3, 1]
    assert scores == detection_scores(found, truth, NAMES)


def test_classes_without_names_are_numbered():
    found, truth = drawn(3)
    scores = Detection().measure(_Fixed(found), _Images(truth), "cpu")
    assert list(scores["by_class"]) == ["0", "1", "2"]


def test_image_confidence_is_the_best_score_of_a_pasted_class():
    box = (1, 1, 9, 9)
    found = [said((box, 0.4, 0), (box, 0.9, 1)), said((box, 0.7, 1)), said()]
    labels = [torch.tensor([0]), torch.tensor([0, 1]), torch.tensor([1])]
    assert Detection().image_confidence(found, labels) == [pytest.approx(0.4), pytest.approx(0.7), 0.0]


class Filmed:
    """Two images of 40 px with one object each; the first one's is cut by the border."""

    def __len__(self):
        return 2

    def fetch(self, indices):
        boxes = torch.tensor([[0.0, 5, 10, 15], [10, 10, 20, 20]])[indices]
        n = len(indices)
        no = torch.zeros(n, dtype=torch.bool)
        return torch.zeros(n, 3, 40, 40), Truth(torch.zeros(n, dtype=torch.int64), boxes, torch.arange(n), no, no, n)

    def field(self, name):
        return {"weather": ("dry", "wet"), "video": ("a", "b")}.get(name, (None, None))


class FindsTheSecond:
    classes = CLASSES

    def predict(self, images):
        return [said(([10, 10, 20, 20], 0.9, 0))] * len(images)

    def confidence(self, images, truth):
        raise AssertionError


def test_details_of_a_proof_tell_conditions_and_cut_objects_apart():
    groups = GroupsConfig(by=("weather",), clusters="video")
    found = Detection().details(FindsTheSecond(), Filmed(), "cpu", groups)
    assert found.groups["weather"]["dry"]["ap50"] == 0
    assert found.groups["weather"]["wet"]["ap50"] == pytest.approx(1)
    assert found.groups["border"]["cut"] == {"ap50": 0.0, "ap": 0.0, "objects": 1}
    assert found.groups["border"]["whole"]["objects"] == 1
    assert {round(value, 6) for value in found.halves} == {0.0, 1.0}  # either video stands for both
    plain = Detection().details(FindsTheSecond(), Filmed(), "cpu", GroupsConfig())
    assert plain.units == found.units
    assert plain.halves == []


def test_a_field_that_no_test_image_has_is_refused():
    with pytest.raises(RecipeError) as caught:
        Detection().details(FindsTheSecond(), Filmed(), "cpu", GroupsConfig(by=("season",)))
    assert str(caught.value) == "test_groups: expected a field of the test images, got 'season', which none of them has"
