import sys

import pytest
import torch

from target_subjects import SUBJECTS, built, scene
from terse.errors import DataError, MissingExtra, RecipeError
from terse.targets.huggingface.config import HuggingFaceConfig

DETR, RT_DETR = (next(one for one in SUBJECTS if one.name == name) for name in ("detr", "rt_detr"))


def build(classes=("square", "ring"), **settings):
    return HuggingFaceConfig(**settings).build(classes=classes, canvas_px=64)


def refused(error, **settings):
    with pytest.raises(error) as told:
        build(**settings)
    return str(told.value)


@pytest.fixture
def saved(tmp_path):
    """DETR with the labels cat, ring, square, saved as a user has it."""
    torch.manual_seed(0)
    target = HuggingFaceConfig(**DETR.settings).build(classes=("cat", "ring", "square"), canvas_px=64)
    target.module.save_pretrained(tmp_path / "detr")
    return target, tmp_path / "detr"


def test_a_saved_folder_is_a_whole_detector_whose_labels_are_looked_up(saved):
    before, folder = saved
    after = build(weights=folder)
    assert (after.found, after.columns) == ("detector", (2, 1))
    images, _ = scene(64)
    (one, _), (other, _) = before.predict(images), after.predict(images)
    kept = one["labels"] > 0
    torch.testing.assert_close(one["scores"][kept], other["scores"])
    assert (3 - one["labels"][kept] - 1).tolist() == other["labels"].tolist()


def test_other_classes_get_a_new_head_and_settings_beside_a_folder_are_laid_over_its_own(saved):
    _, folder = saved
    target = build(("dog", "cow"), weights=folder, config={"num_queries": 6, "dropout": 0.25})
    assert (target.found, target.columns) == ("backbone", (0, 1))
    assert target.module.config.dropout == 0.25
    assert target.calibrated


def test_a_class_that_the_folder_does_not_know_is_named(saved):
    assert refused(RecipeError, classes=("square", "dog"), weights=saved[1]) == (
        "target.labels: expected a label for each of square, dog, got none for dog; add it"
    )


def test_settings_that_no_model_has():
    assert refused(RecipeError, config={"model_type": "rtdetr"}) == (
        "target.config.model_type: expected a model of transformers, such as detr, rt_detr, d_fine or yolos, "
        "got 'rtdetr'; did you mean 'rt_detr'?"
    )
    assert refused(RecipeError, config={"model_type": "rt_detr", "num_querys": 3}) == (
        "target.config.num_querys: expected a setting of RTDetrConfig, got another; did you mean 'num_queries'?"
    )
    assert refused(DataError, config={"model_type": "bert"}).startswith(
        "target: expected a detector of transformers that can be made, got Unrecognized configuration class"
    )


def test_a_folder_that_holds_no_model(tmp_path):
    assert refused(DataError, weights=tmp_path) == (
        f"target.weights: expected a folder that save_pretrained wrote, got {tmp_path} without config.json"
    )


def test_pixels_are_normalised_as_the_models_processor_does():
    assert built(DETR)._pixels.mean == (0.485, 0.456, 0.406)
    assert built(RT_DETR)._pixels.mean == (0.0,)


def test_no_query_answers_for_two_objects():
    target, (images, truth) = built(DETR), scene(64)
    logits, boxes = target._forward(images)
    image, query, number = target._matched(logits.detach(), boxes.detach(), target._shares(truth, images), truth)
    pairs = set(zip(image.tolist(), query.tolist(), strict=True))
    assert len(pairs) == len(number) == 4
    assert torch.equal(image, truth.image_index[number])


def test_without_transformers_the_line_that_installs_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra) as told:
        build(config={"model_type": "detr"})
    assert str(told.value) == (
        "target.kind=huggingface: expected the extra 'transformers' to be installed, got no such package; "
        'run: pip install "terse-synth[transformers]"'
    )
