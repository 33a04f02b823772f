"""The recipe's text: what is written reads back as it was meant."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from terse.init.draft import draft, flow
from terse.init.target import TargetChoice
from terse.yaml_text import read_yaml

SOURCES = {
    "foregrounds": {"coco": "a.json", "images": "a", "classes": ["no", "traffic light", "c: d"]},
    "backgrounds": {"images": "../my backgrounds"},
    "train": {"coco": "a.json", "images": "a"},
    "val": 0.2,
}
words = st.text(st.characters(blacklist_categories=("Cs",)), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@given(values)
@example("\x7f \x85 \u2028 \ufeff \ufffe \U000e0067")
def test_a_value_on_one_line_reads_back_equal(value):
    text = flow(value)
    assert "\n" not in text
    assert read_yaml(f"value: {text}", "drawn")["value"] == value


def choice(**parts):
    known = {
        "kind": "ssdlite_mobilenet_v2",
        "found": "backbone",
        "canvas_px": 320,
        "softmax": True,
        "labels": None,
        "lr": 0.03,
    }
    return TargetChoice(**{**known, **parts})


def made(chosen, weights="w.pth", gpu=False, small=None):
    text = draft("mine", SOURCES, chosen, weights, gpu=gpu, small=small or {})
    for above, line in zip(text.splitlines(), text.splitlines()[1:], strict=False):
        assert "#" in line or above.startswith("# "), line
    return read_yaml(text, "mine")


def test_a_gpu_takes_the_base_as_it_is():
    recipe = made(choice(kind="ssd300_vgg16", found="detector", canvas_px=300), gpu=True)
    assert recipe == {
        "base": "detector",
        **SOURCES,
        "target": {"kind": "ssd300_vgg16", "weights": "w.pth"},
        "synthesis": {"kind": "mined"},
        "cycles": 5,
    }


def test_on_a_gpu_too_the_detectors_backbone_serves_the_synthesizer():
    assert made(choice(), gpu=True)["synthesis"] == {
        "kind": "learned",
        "discriminator": True,
        "backbone": "mobilenet_v2",
        "backbone_weights": "w.pth",
    }


def test_a_backbone_is_trained_first_and_serves_the_small_synthesizer():
    assert "canvas_px" not in made(choice(canvas_px=300), small={"canvas_px": 320})
    recipe = made(choice(), small={"canvas_px": 96, "cycles": 2, "name": "x", "target": {}, "pool": {"per_cycle": 9}})
    assert recipe["pretrain"]["optimizer"]["lr"] == 0.03
    assert recipe["synthesis"]["backbone_weights"] == "w.pth"
    assert (recipe["canvas_px"], recipe["cycles"], recipe["pool"]) == (320, 2, {"per_cycle": 9})
    assert "name" not in recipe


SMALL = {"backbone": "mobilenet_v2", "backbone_weights": "${DATA}/x.pth", "train_backbone": False, "steps": 7}


def test_the_small_recipes_own_synthesizer_takes_the_users_weights():
    assert made(choice(), small={"synthesis": SMALL})["synthesis"] == {
        "kind": "learned",
        "discriminator": True,
        **SMALL,
        "backbone_weights": "w.pth",
    }


@pytest.mark.parametrize(
    "chosen",
    [
        choice(found="nothing"),
        choice(found="detector"),
        choice(kind="fasterrcnn_mobilenet_v3_large_320_fpn"),
        choice(kind="ssd_small", found="detector"),
        choice(kind="torchvision_classifier", found="nothing", model="resnet18"),
    ],
    ids=lambda chosen: f"{chosen.kind}-{chosen.found}",
)
def test_a_synthesizer_without_weights_is_not_written(chosen):
    for gpu in (False, True):
        assert made(chosen, gpu=gpu, small={"synthesis": SMALL})["synthesis"] == {"kind": "mined"}


def test_labels_and_uncalibrated_scores_are_written():
    recipe = made(choice(kind="fcos_resnet50_fpn", found="detector", softmax=False, labels={"no": 18}))
    assert recipe["hardness"] == {"kind": "quantile"}
    assert recipe["target"]["labels"] == {"no": 18}
    assert "pretrain" not in recipe


@pytest.mark.parametrize("found", ["nothing", "backbone", "detector"])
def test_what_a_file_held_is_said(found):
    assert choice(found=found).told.startswith("ssdlite_mobilenet_v2")


def test_the_small_detector_without_weights_learns_fast_and_needs_no_synthesizer():
    recipe = made(choice(kind="ssd_small", found="nothing", canvas_px=300), weights=None)
    assert recipe["synthesis"] == {"kind": "mined"}
    assert recipe["pretrain"]["optimizer"]["name"] == recipe["fine_tune"]["optimizer"]["name"] == "adam"
    trained = made(choice(kind="ssd_small", found="detector", canvas_px=300))
    assert "pretrain" not in trained
