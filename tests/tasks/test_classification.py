import torch

from scripted_models import Images, Says, truth
from terse.targets.classifier.target import ClassificationTarget
from terse.tasks import classification as module
from terse.tasks.classification import Classification
from terse.types import Truth

CLASSES = ("cat", "dog")


def sure(label):
    return torch.eye(2)[label] * 0.8 + 0.1


def test_a_classifiers_changed_answers_are_shown_and_counted():
    labels = [k % 2 for k in range(20)]
    images = Images([truth(label) for label in labels])
    before = Says([sure(1 - label) if k < 10 else sure(label) for k, label in enumerate(labels)])
    after = Says([sure(label) if k < 18 else sure(1 - label) for k, label in enumerate(labels)])
    answers = Classification().answers(before, after, images, CLASSES)
    assert answers.note == (
        "Of 20 images, 10 went from wrong to right and 2 from right to wrong. Shown are 12 of these."
    )
    first, last = answers.changes[0], answers.changes[-1]
    assert (first.name, first.before.caption, first.after.caption) == (
        "truth: cat", "dog, p 0.90, wrong", "cat, p 0.90, right",
    )  # fmt: skip
    assert (last.before.tone, last.after.tone) == ("good", "bad")
    assert [change.row for change in answers.changes] == [*range(10), 18, 19]


def test_a_model_that_did_not_change_has_no_changes():
    images = Images([truth(0)] * 5)
    same = Says([sure(0)] * 5)
    answers = Classification().answers(same, same, images, CLASSES)
    assert answers.changes == []
    assert answers.note.startswith("Of 5 images, 0 went from wrong to right and 0 from right to wrong.")


def test_correct_images_by_hand(monkeypatch):
    class Always(torch.nn.Module):
        def forward(self, images):
            return torch.tensor([[0.0, 1.0]]).expand(len(images), 2)

    class Four:
        def __len__(self):
            return 4

        def fetch(self, indices):
            return torch.zeros(len(indices), 1, 2, 2), Truth.of_images(torch.tensor([1, 0, 1, 0])[indices])

    target = ClassificationTarget(Always(), ("zero", "one"))
    monkeypatch.setattr(module, "_BATCH", 3)
    assert Classification().units(target, Four(), "cpu") == [1.0, 0.0, 1.0, 0.0]
    assert Classification().measure(target, Four(), "cpu") == {"accuracy": 0.5}


def test_image_confidence_is_the_probability_of_the_truth():
    labels = [torch.tensor([1]), torch.tensor([0]), torch.zeros(0, dtype=torch.int64)]
    found = Classification().image_confidence(torch.tensor([[0.25, 0.75]] * 3), labels)
    assert found == [0.75, 0.25, 0.0]
