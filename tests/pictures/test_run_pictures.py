from types import SimpleNamespace

import numpy as np
import pytest
import torch

from terse.discriminator import Discriminator, auc_of_scores
from terse.pictures.run_pictures import before_after, realism
from terse.tasks.answers import Answer, Answers, Change
from terse.training.checkpoint import write_checkpoint
from terse.types import Truth


class Bank:
    """So many grey images, brighter with their number."""

    keys = ()

    def __init__(self, count, level):
        self.count, self.level = count, level

    def __len__(self):
        return self.count

    def images(self, rows):
        generator = torch.Generator().manual_seed(int(rows.sum()))
        return torch.rand(len(rows), 3, 96, 96, generator=generator) * 0.2 + self.level

    def fetch(self, rows):
        images = self.images(np.asarray(rows))
        return Fetched((images, Truth.empty(len(images))))


class Fetched(tuple):
    """Backgrounds have `images`; real images are a pair."""

    __slots__ = ()

    @property
    def images(self):
        return self[0]


class Placed:
    def take(self, rows):
        return rows


class Pooled:
    placements = Placed()

    def __len__(self):
        return 20


@pytest.fixture
def players():
    """Real images and backgrounds alike, composites brighter."""
    drawn = Bank(20, 0.6)
    materials = SimpleNamespace(
        backgrounds=Bank(20, 0.2), render=lambda rows: SimpleNamespace(images=drawn.images(np.asarray(rows)))
    )
    return SimpleNamespace(train=Bank(20, 0.2), materials=materials, discriminator=Discriminator())


@pytest.mark.parametrize(("test", "images"), [(None, "validation"), ({"kind": "images"}, "test")])
def test_answers_say_which_images_they_are_of(players, monkeypatch, test, images):
    """The task need not know, and what it calls an image is left alone."""
    answer = Answer("1 of 1 found")
    answers = Answers([Change(3, "a test image of a street", answer, answer)], "Of 20 images, 1 is shown.")
    task = SimpleNamespace(answers=lambda *_: answers)
    monkeypatch.setattr("terse.pictures.run_pictures.task_of", lambda recipe: task)
    recipe = SimpleNamespace(model_dump=lambda mode: {"train": {"kind": "images"}, "test": test})
    pairs, note = before_after(recipe, None, None, players.train, ("a",))
    assert ([pair.name for pair in pairs], note) == (
        ["a test image of a street"],
        f"On the {images} images. Of 20 images, 1 is shown.",
    )


def test_the_kept_discriminator_is_asked(players, tmp_path):
    torch.manual_seed(1)
    kept = Discriminator(weight_sigma=0.1)
    write_checkpoint(tmp_path / "state", {"discriminator": kept.state_dict()}, {})
    found = realism(players, Pooled(), tmp_path)
    rows = np.arange(20)
    kept.eval()
    with torch.no_grad():
        real, plain, drawn = (
            torch.cat([kept(bank(part)).mean(dim=1) for part in np.array_split(rows, 2)])
            for bank in (
                players.train.images, players.materials.backgrounds.images, lambda rows: players.materials.render(rows).images
            )
        )  # fmt: skip
    assert found.composites_auc == pytest.approx(auc_of_scores(real, drawn))
    assert found.backgrounds_auc == pytest.approx(auc_of_scores(real, plain))
    assert round(found.backgrounds_auc, 2) == 0.5
    assert round(found.composites_auc, 2) != 0.5


def test_a_run_without_a_discriminator_has_no_realism(players, tmp_path):
    assert realism(players, Pooled(), tmp_path) is None
    players.discriminator = None
    assert realism(players, Pooled(), tmp_path) is None
