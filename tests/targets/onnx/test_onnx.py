import sys

import numpy as np
import pytest
import torch
from onnx import TensorProto

from onnx_files import constant_answers, mean_colours
from terse.errors import DataError, MissingExtra, RecipeError
from terse.protocols import Attackable, Judges, Trainable
from terse.targets.onnx.config import OnnxConfig
from terse.types import Truth
from terse.validation import validate

CLASSES = ("square", "ring")
BOXES = np.array([[[1, 1, 5, 7], [2, 0, 8, 4], [1, 1, 5, 6]]], dtype=np.float32)  # in pixels of 8
SCORES = np.array([[0.9, 0.4, 0.6]], dtype=np.float32)


def target(file, outputs, size_px=16, **settings):
    config = validate(OnnxConfig, {"weights": str(file), "outputs": outputs, **settings}, None)
    return config.build(classes=CLASSES, canvas_px=size_px)


def refused(file, outputs, **settings):
    with pytest.raises(RecipeError) as told:
        target(file, outputs, **settings)
    return str(told.value)


def one_object(label, box):
    no = torch.zeros(1, dtype=torch.bool)
    return Truth(torch.tensor([label]), torch.tensor([box]), torch.tensor([0]), ~no, no, 1)


def test_a_classifier_answers_with_the_softmax_of_its_logits(tmp_path):
    weight = np.array([[1, 2, 0], [0, 1, 5], [3, 0, 1]])
    file = mean_colours(tmp_path / "a.onnx", weight)
    box = target(file, {"logits": "scores"}, labels={"square": 2, "ring": 0}, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    assert isinstance(box, Judges)
    assert not isinstance(box, Attackable | Trainable)
    images = torch.rand(3, 3, 16, 16)
    logits = (2 * images - 1).mean(dim=(2, 3)) @ torch.tensor(weight, dtype=torch.float32)
    torch.testing.assert_close(box.predict(images), logits[:, [2, 0]].softmax(1))
    truth = Truth.of_images(torch.tensor([1, 0, 1]))
    pasted = Truth(truth.labels, truth.boxes_px, truth.image_index, torch.ones(3, dtype=torch.bool), truth.ignore, 3)
    torch.testing.assert_close(box.confidence(images, pasted), box.predict(images)[[0, 1, 2], [1, 0, 1]])


@pytest.mark.parametrize(("kind", "std"), [("UINT8", 1.0), ("FLOAT16", 1 / 255), ("DOUBLE", 1 / 255)])
def test_images_are_shown_in_the_files_own_numbers(tmp_path, kind, std):
    weight = np.array([[1, 0], [0, 1], [0, 0]]) / 255
    file = mean_colours(tmp_path / "a.onnx", weight, kind=getattr(TensorProto, kind))
    box = target(file, {"logits": "scores"}, std=(std,) * 3)
    images = torch.rand(3, 3, 16, 16)
    torch.testing.assert_close(box.predict(images), images.mean(dim=(2, 3))[:, :2].softmax(1), atol=1e-3, rtol=0)


def test_bytes_are_not_normalised(tmp_path):
    file = mean_colours(tmp_path / "a.onnx", np.eye(3, 2), kind=TensorProto.UINT8)
    assert refused(file, {"logits": "scores"}, std=(0.25, 0.25, 0.25)) == (
        "target.mean and target.std: expected 0 and 1, because a.onnx takes uint8 images of 0 to 255, "
        "got [0.0, 0.0, 0.0] and [0.25, 0.25, 0.25]; leave them out"
    )


def test_a_file_of_other_numbers_is_refused(tmp_path):
    file = mean_colours(tmp_path / "a.onnx", np.eye(3, 2), kind=TensorProto.INT64)
    assert refused(file, {"logits": "scores"}) == (
        "target.weights: expected a network of images in floating point or uint8, "
        "got the input images of tensor(int64); export the file anew"
    )


@pytest.mark.parametrize(
    ("outputs", "answers", "settings"),
    [
        (
            {"boxes": "b", "scores": "s", "labels": "l"},
            {"b": BOXES[0], "s": SCORES[0], "l": np.array([4, 7, 7])},  # of one image, as exports of one have it
            {"labels": {"square": 4, "ring": 7}},
        ),
        (
            {"boxes": "b", "scores": "s"},
            {"b": BOXES / 8, "s": np.array([[[0.9, 0], [0, 0.4], [0, 0.6]]], dtype=np.float32)},
            {"unit": "shares"},
        ),
        (
            {"rows": "r"},
            {"r": np.concatenate([BOXES, SCORES[..., None], [[[0], [1], [1]]]], axis=2).astype(np.float32)},
            {},
        ),
        (
            {"raw": "r"},  # centre and size, classes before boxes: YOLO's
            {
                "r": np.array(
                    [[[3, 5, 3], [4, 2, 3.5], [4, 6, 4], [6, 4, 5], [0.9, 0, 0], [0, 0.4, 0.6]]], dtype=np.float32
                )
            },
            {"box": "cxcywh"},
        ),
    ],
)
def test_every_declared_layout_of_a_detector_gives_the_same_boxes(tmp_path, outputs, answers, settings):
    box = target(constant_answers(tmp_path / "a.onnx", answers), outputs, **settings)
    first, _ = box.predict(torch.rand(2, 3, 16, 16))
    assert first["labels"].tolist() == [0, 1, 1]
    torch.testing.assert_close(first["scores"], torch.tensor([0.9, 0.6, 0.4]))
    assert first["boxes"].tolist() == [[2, 2, 10, 14], [2, 2, 10, 12], [4, 0, 16, 8]]
    found = [box.confidence(torch.rand(1, 3, 16, 16), one_object(label, [2.0, 2, 10, 13])).item() for label in (0, 1)]
    assert found == pytest.approx([0.9, 0.6])
    assert box.confidence(torch.rand(1, 3, 16, 16), one_object(0, [12.0, 12, 16, 16])).item() == 0


def test_boxes_of_raw_outputs_are_suppressed_where_the_recipe_says_so(tmp_path):
    rows = np.concatenate([BOXES, SCORES[..., None], [[[1], [1], [1]]]], axis=2).astype(np.float32)
    (one,) = target(constant_answers(tmp_path / "a.onnx", {"r": rows}), {"rows": "r"}, suppress=0.5).predict(
        torch.rand(1, 3, 8, 8)
    )
    assert one["scores"].tolist() == pytest.approx([0.9, 0.4])


def _with_objectness(classes_first):
    """Three boxes as YOLOv5's rows have them: the second has the better class score, and nothing in it."""
    rows = np.array(
        [[3, 4, 4, 6, 0.9, 0.8, 0.1], [5, 2, 6, 4, 0.01, 0.9, 0.1], [3, 3, 2, 2, 0.5, 0, 0.8]], dtype=np.float32
    )
    return {"r": rows.T[None] if classes_first else rows[None]}


@pytest.mark.parametrize("classes_first", [False, True])
@pytest.mark.parametrize("labels", [None, {"square": 0, "ring": 1}])
def test_objectness_weighs_the_class_scores_of_its_row(tmp_path, classes_first, labels):
    file = constant_answers(tmp_path / "a.onnx", _with_objectness(classes_first))
    box = target(file, {"raw": "r"}, box="cxcywh", objectness=True, labels=labels, min_score=0.05)
    (found,) = box.predict(torch.rand(1, 3, 8, 8))
    assert found["labels"].tolist() == [0, 1, 1]
    torch.testing.assert_close(found["scores"], torch.tensor([0.72, 0.4, 0.09]))


@pytest.mark.parametrize("classes_first", [False, True])
def test_raw_rows_with_a_column_too_many_are_refused_and_not_taken_for_a_background(tmp_path, classes_first):
    answers = _with_objectness(classes_first)
    file = constant_answers(tmp_path / "a.onnx", answers)
    assert refused(file, {"raw": "r"}, box="cxcywh") == (
        "target.outputs.raw: expected 4 numbers of a box and 2 class scores in a row, because no labels are declared, "
        f"got {answers['r'].shape} of 'r'; write objectness: true where it stands before the scores, as in YOLOv5's, or labels"
    )


def test_raw_rows_without_objectness_are_refused_where_it_is_declared(tmp_path):
    answers = {"r": _with_objectness(False)["r"][..., :6]}
    file = constant_answers(tmp_path / "a.onnx", answers)
    assert refused(file, {"raw": "r"}, objectness=True) == (
        "target.outputs.raw: expected 4 numbers of a box, objectness and 2 class scores in a row, because no labels are "
        "declared, got (1, 3, 6) of 'r'; write objectness: false where there is none, or labels"
    )


def test_objectness_is_of_raw_outputs_alone(tmp_path):
    file = constant_answers(tmp_path / "a.onnx", {"b": BOXES, "s": SCORES})
    assert refused(file, {"boxes": "b", "scores": "s"}, objectness=True) == (
        "objectness: expected false, because the outputs boxes and scores have none, got True; only raw ones can"
    )


WITH_BACKGROUND = np.array([[[0.05, 0.9, 0.05], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]]], dtype=np.float32)


def test_a_background_is_left_out_of_scores_by_labels(tmp_path):
    file = constant_answers(tmp_path / "a.onnx", {"b": BOXES, "s": WITH_BACKGROUND})
    labels = {"square": 1, "ring": 2}
    (found,) = target(file, {"boxes": "b", "scores": "s"}, labels=labels, min_score=0.2).predict(torch.rand(1, 3, 8, 8))
    assert found["labels"].tolist() == [0, 1, 0]
    torch.testing.assert_close(found["scores"], torch.tensor([0.9, 0.8, 0.3]))


def test_a_column_too_many_is_refused_and_not_taken_for_a_background(tmp_path):
    file = constant_answers(tmp_path / "a.onnx", {"b": BOXES, "s": WITH_BACKGROUND, "p": WITH_BACKGROUND[0, :1]})
    advice = "where one is a background write labels: {square: 1, ...}"
    assert refused(file, {"boxes": "b", "scores": "s"}) == (
        f"target.outputs.scores: expected 2 classes, because no labels are declared, got (1, 3, 3) of 's'; {advice}"
    )
    assert refused(file, {"probabilities": "p"}) == (
        f"target.outputs.probabilities: expected 2 classes, because no labels are declared, got (1, 3) of 'p'; {advice}"
    )


def test_probabilities_of_some_of_the_models_classes_are_among_these(tmp_path):
    file = constant_answers(tmp_path / "a.onnx", {"p": np.array([[0.4, 0.1, 0.2, 0.3]], dtype=np.float32)})
    box = target(file, {"probabilities": "p"}, labels={"square": 1, "ring": 3})
    torch.testing.assert_close(box.predict(torch.rand(1, 3, 8, 8)), torch.tensor([[0.25, 0.75]]))


def test_logits_that_are_declared_as_probabilities_are_refused(tmp_path):
    file = constant_answers(tmp_path / "a.onnx", {"p": np.array([[4.0, 1.0]], dtype=np.float32)})
    assert refused(file, {"probabilities": "p"}) == (
        "target.outputs.probabilities: expected rows that sum to 1, got [5.0] of 'p'; are they logits?"
    )


def test_outputs_that_are_not_what_was_declared_are_named(tmp_path):
    file = constant_answers(tmp_path / "a.onnx", {"b": BOXES, "s": SCORES})
    assert refused(file, {"boxes": "box", "scores": "s"}) == (
        "target.outputs.boxes: expected an output of a.onnx, got 'box'; it has b (1, 3, 4), s (1, 3)"
    )
    assert refused(file, {"boxes": "s", "scores": "b"}) == (
        "target.outputs.boxes: expected (images, n, 4), got (1, 3) of 's'; declare what it holds"
    )
    assert refused(file, {"boxes": "b", "scores": "s"}) == (
        "target.outputs.scores: expected (images, n, classes) as its boxes are, because no labels are declared, "
        "got (1, 3) of 's'; declare what it holds"
    )
    assert refused(file, {"logits": "b"}) == (
        "target.outputs.logits: expected (images, classes), got (1, 3, 4) of 'b'; declare what it holds"
    )
    assert refused(file, {"logits": "b", "rows": "s"}) == (
        "outputs: expected one of: logits; probabilities; boxes and scores; boxes and labels and scores; rows; raw; "
        "got logits and rows"
    )
    assert refused(file, {"boxes": "b", "scores": "s"}, image_size_px=32) == (
        "target.image_size_px: expected the side of a.onnx, which takes images of 8x8, got 32; "
        "leave it out, or export the file anew"
    )


def test_classes_that_do_not_match(tmp_path):
    file = mean_colours(tmp_path / "a.onnx", np.ones((3, 5)))
    assert refused(file, {"logits": "scores"}) == (
        "target.labels: expected a label for each class, because the detector has 5 outputs and the task 2 classes, "
        "got none; write labels: {square: 1, ...}"
    )


def test_files_that_are_none(tmp_path):
    with pytest.raises(DataError) as told:
        target(tmp_path / "none.onnx", {"logits": "a"})
    assert str(told.value) == f"target.weights: expected an ONNX file, got none at {tmp_path / 'none.onnx'}"
    (tmp_path / "torn.onnx").write_bytes(b"no model")
    with pytest.raises(
        DataError, match=r"^target.weights: expected an ONNX file, got .*torn.onnx, which cannot be opened"
    ):
        target(tmp_path / "torn.onnx", {"logits": "a"})


def test_without_onnxruntime_the_line_that_installs_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra) as told:
        target(tmp_path / "a.onnx", {"logits": "a"})
    assert str(told.value) == (
        "target.kind=onnx: expected the extra 'onnx' to be installed, got no such package; "
        'run: pip install "terse-synth[onnx]"'
    )


def test_outputs_that_do_not_follow_the_images_are_told_before_a_run(tmp_path):
    many = constant_answers(tmp_path / "a.onnx", {"scores": np.zeros((1, 2), np.float32)}, images="images")
    assert refused(many, {"logits": "scores"}) == (
        "target.outputs.logits: expected numbers, and a first axis of 2 for as many images, got float32 (1, 2) of 'scores'; "
        "export the file anew"
    )
    flat = {"boxes": BOXES[0], "scores": SCORES[0], "labels": np.zeros(3, np.int64)}
    two = constant_answers(tmp_path / "b.onnx", flat, images=2)
    assert refused(two, {name: name for name in flat}) == (
        "target.outputs.boxes: expected numbers, and a first axis of 2 for as many images, got float32 (3, 4) of 'boxes'; "
        "export the file anew"
    )
    words = constant_answers(tmp_path / "c.onnx", {"scores": np.array([["a", "b"]], dtype=object)})
    assert "got object (1, 2)" in refused(words, {"logits": "scores"})
