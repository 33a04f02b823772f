import json
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
    assert after.named == {"cat": 0, "ring": 1, "square": 2}
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


def rewritten(folder, **labels):
    file = folder / "config.json"
    told = {**json.loads(file.read_text()), **labels}
    file.write_text(json.dumps({name: value for name, value in told.items() if value is not None}))
    return folder


OLD = {"backbone_config": None, "backbone": "test_resnet", "use_pretrained_backbone": True}


@pytest.fixture
def without_hub(monkeypatch):
    def ask():
        raise AssertionError("the net was asked")

    monkeypatch.setattr("transformers.backbone_utils.hf_api", ask, raising=False)


@pytest.mark.usefixtures("without_hub")
def test_a_folder_of_transformers_4_names_its_backbone_and_is_read_without_the_net(tmp_path):
    backbone = {"model_type": "timm_backbone", "backbone": "test_resnet", "out_indices": [1, 2, 3, 4]}
    config = {**DETR.settings["config"], "backbone_config": backbone}
    before = build(config=config)
    before.module.save_pretrained(tmp_path)
    arguments = {"in_chans": 3, "out_indices": [1, 2, 3, 4]}
    after = build(weights=rewritten(tmp_path, **OLD, use_timm_backbone=True, backbone_kwargs=arguments))
    assert after.found == "detector"
    images, _ = scene(64)
    assert torch.equal(before.predict(images)[0]["scores"], after.predict(images)[0]["scores"])


@pytest.mark.usefixtures("without_hub")
def test_a_backbone_whose_settings_are_on_the_net_alone_is_named(saved):
    folder = rewritten(saved[1], **OLD, use_timm_backbone=False)
    assert refused(DataError, weights=folder) == (
        f"target.weights: expected a backbone_config in {folder / 'config.json'}, got the name of one to download, "
        "'test_resnet'; write its settings there"
    )


def test_names_that_differ_in_case_alone_are_the_models_own(saved):
    """They are no reason to throw a trained head away."""
    target = build(("Square", "RING"), weights=saved[1])
    assert (target.found, target.columns) == ("detector", (2, 1))


@pytest.mark.parametrize("numbers", [None, {"cat": "0", "ring": "1", "square": "2"}])
def test_the_labels_of_the_outputs_are_enough(saved, numbers):
    target = build(weights=rewritten(saved[1], label2id=numbers))
    assert (target.found, target.columns) == ("detector", (2, 1))


def test_labels_that_do_not_tell_which_output_is_meant(saved):
    folder = saved[1]
    told = "target.labels: expected one output for square in config.json, got 0 and 2; write labels: {square: ...}"
    assert refused(RecipeError, weights=rewritten(folder, label2id={"cat": 2, "ring": 1, "square": 0})) == told
    twice = {"0": "square", "1": "ring", "2": "square"}
    assert refused(RecipeError, weights=rewritten(folder, id2label=twice, label2id={"ring": 1, "square": 2})) == told
    assert build(weights=folder, labels={"square": 2, "ring": 1}).columns == (2, 1)


def test_labels_with_a_gap_or_too_few_of_them(saved):
    folder = saved[1]
    gap = {"cat": 0, "ring": 1, "square": 3}
    assert refused(
        DataError, weights=rewritten(folder, id2label={str(k): v for v, k in gap.items()}, label2id=gap)
    ) == (
        "target.weights: expected the 3 labels of config.json to be numbered from 0 to 2, got 3 for square; "
        "give the numbers between a name too"
    )
    few = {"ring": 0, "square": 1}
    assert refused(DataError, weights=rewritten(folder, id2label={"0": "ring", "1": "square"}, label2id=few)) == (
        f"target.weights: expected tensors of the sizes that {folder}/config.json describes, with its 2 labels, got others; "
        "give every output a label there"
    )


@pytest.mark.parametrize("text", ["{", '{"model_type": "unheard"}', '{"model_type": "detr", "id2label": ["cat"]}'])
def test_a_configuration_that_cannot_be_read(saved, text):
    file = saved[1] / "config.json"
    file.write_text(text)
    assert refused(DataError, weights=saved[1]).startswith(
        f"target.weights: expected the config.json of a model of transformers, got {file}: "
    )


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
