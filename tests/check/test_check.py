"""Each trouble is drawn once, and found; sound data are left in peace."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from terse.check.check import check_data, check_recipe
from terse.check.findings import MASK_CODES, Code, sampled
from terse.check.page import write
from terse.check.parts import open_parts
from terse.errors import RecipeError
from terse.init.survey import survey
from terse.progress import Observer
from terse.recipe import load_recipe
from terse.run import build_players
from terse.sources.cleanup import Flaw
from terse.sources.guess import read_data
from terse.targets.classifier.target import ClassificationTarget

EVIDENCE = ClassificationTarget.evidence


def look(path, *overrides, **options):
    return check_recipe(load_recipe(path, overrides), str(path), **options)


def names(checked, *weights):
    return [one.name for one in checked.found if one.weight in (weights or ("error", "warning"))]


def found(checked, name):
    return next(one for one in checked.found if one.name == name)


def test_sound_data_are_ready(drawn):
    checked = look(drawn.recipe())
    assert names(checked) == []
    assert checked.ready
    assert {part.name: len(part.annotations) for part in checked.parts.values()} == {
        "foregrounds": 6, "backgrounds": 5, "train": 6, "val": 6
    }  # fmt: skip


def test_a_fraction_is_held_out_as_the_run_does_it(drawn):
    from terse.sources.run_data import run_data

    path = drawn.recipe("val: 0.3\ntest: 0.25\n")
    recipe = load_recipe(path)
    parts, _ = open_parts(recipe)
    material = run_data(recipe)
    for name in ("train", "val", "test"):
        assert parts[name].annotations.paths == getattr(material, name).annotations.paths


def test_copies_under_other_names_are_found_and_the_lists_mend_them(drawn, tmp_path):
    path = drawn.recipe()
    from_val = Image.open(tmp_path / "val-images/val-02.png")
    from_val.resize((130, 96)).save(tmp_path / "backgrounds/copy.jpg", quality=70)
    checked = look(path)
    copies = found(checked, "Pictures on both sides")
    assert (copies.weight, copies.where) == ("warning", "backgrounds")
    assert copies.examples == ["copy.jpg = val-02.png (val)"]
    hidden = found(checked, "Labelled objects that the backgrounds do not know")
    assert hidden.examples == ["copy.jpg"]
    written = write(checked, tmp_path / "out")["leave_out"]
    assert list(written) == ["backgrounds"]
    mended = look(path, f"backgrounds.leave_out={written['backgrounds']}")
    assert names(mended) == []
    assert len(mended.parts["backgrounds"].annotations) == 5


def test_a_second_list_holds_the_first_ones_lines(drawn, tmp_path):
    path = drawn.recipe()
    (tmp_path / "old.txt").write_text("b1.png\n")
    Image.open(tmp_path / "val-images/val-00.png").save(tmp_path / "backgrounds/copy.png")
    checked = look(path, f"backgrounds.leave_out={tmp_path}/old.txt")
    written = write(checked, tmp_path / "out")["leave_out"]["backgrounds"]
    assert (tmp_path / "out" / "leave-out-backgrounds.txt").read_text() == "b1.png\nbackgrounds:copy.png\n"
    assert names(look(path, f"backgrounds.leave_out={written}")) == []


def tear(file):
    """A JPEG file's table of Huffman codes: header and end stay sound."""
    whole = bytearray(file.read_bytes())
    table = whole.index(b"\xff\xc4") + 5
    whole[table : table + 16] = b"\xff" * 16
    file.write_bytes(whole)


def test_an_image_whose_pixels_are_torn_is_an_error_until_it_is_left_out(drawn, tmp_path):
    path = drawn.recipe()
    torn = tmp_path / "backgrounds/torn.jpg"
    Image.open(tmp_path / "backgrounds/b0.png").save(torn)
    tear(torn)
    checked = look(path)
    assert not checked.ready
    one = found(checked, "Images that cannot be decoded")
    assert one.where == "backgrounds"
    assert one.examples == [
        "torn.jpg: expected a whole image, got one that is cut short or damaged (OSError); restore it or leave it out"
    ]
    lists = write(checked, tmp_path / "out")["leave_out"]
    assert look(path, *(f"{part}.leave_out={file}" for part, file in lists.items())).ready


def test_a_torn_image_that_is_held_out_goes_on_the_list_of_train(drawn, tmp_path):
    path = drawn.recipe("val: 0.34\n")
    parts, _ = open_parts(load_recipe(path))
    torn = tmp_path / "train-images" / parts["val"].annotations.paths[0]
    Image.open(torn).save(torn, "JPEG")
    tear(torn)
    checked = look(path)
    assert not checked.ready
    lists = write(checked, tmp_path / "out")["leave_out"]
    assert set(lists) == {"foregrounds", "train"}
    assert look(path, *(f"{part}.leave_out={file}" for part, file in lists.items())).ready


def test_skipped_files_and_annotations_are_told_apart(drawn, tmp_path):
    def change(data):
        data["annotations"][0].update(bbox=[0, 0, 0, 5], segmentation=[])
        data["images"][1]["width"] = 7

    drawn.coco(change=change)
    (tmp_path / "train-images/train-02.png").write_bytes(b"")
    checked = look(drawn.recipe())
    assert names(checked)[:3] == [
        "Files that cannot be read", "Files of another size than annotated", "Annotations that cannot be used"
    ]  # fmt: skip
    assert found(checked, "Files that cannot be read").examples == [
        "train-02.png: expected an image file, got an empty file; restore it or leave it out"
    ]
    assert found(checked, "Annotations that cannot be used").examples == [
        "train.json: annotations[0].bbox: expected a box with an area, got 0x5; it is left out"
    ]


@pytest.mark.parametrize("cleanup", [True, False])
def test_masks_that_disagree_with_their_box(drawn, tmp_path, cleanup):
    def change(data):
        data["annotations"][1]["bbox"] = [5, 5, 20, 20]
        data["annotations"][2]["segmentation"] = [[500.0, 500, 520, 500, 520, 520]]
        x, y = data["annotations"][3]["bbox"][:2]
        data["annotations"][3].update(bbox=[x, y, 8, 8], segmentation=[[x, y, x + 8, y, x + 8, y + 8, x, y + 8]])

    drawn.coco(change=change)
    path = drawn.recipe()
    checked = look(path, f"cleanup={str(cleanup).lower()}")
    assert found(checked, "Mask and box disagree").weight == ("note" if cleanup else "warning")
    assert found(checked, "Small objects").weight == "note"
    assert found(checked, "Empty masks").examples == ["train:train-02.png:2 (the mask is empty)"]
    lists = checked.leave_out()
    assert lists == ({} if cleanup else {"foregrounds": [f"train:train-0{i}.png:{i}" for i in (2, 1, 3)]})
    if not cleanup:
        written = write(checked, tmp_path / "out")["leave_out"]["foregrounds"]
        again = look(path, "cleanup=false", f"foregrounds.leave_out={written}")
        assert names(again, "error", "warning", "note") == ["No test images"]


def test_classes_are_compared_part_by_part(drawn):
    both = [{"id": 1, "name": "ball"}, {"id": 2, "name": "box"}]
    drawn.coco(category=both)
    drawn.coco("val", seed=100, category=[{"id": 1, "name": "Ball"}, {"id": 3, "name": "cone"}])
    checked = look(drawn.recipe(), "classes=[ball, box, star]")
    assert not checked.ready
    nothing = found(checked, "No objects")
    assert (nothing.where, nothing.examples) == ("val", ["ball", "box", "star"])
    assert nothing.advice.endswith("Is 'ball' what is called 'Ball' there?")
    assert found(checked, "Classes that are never pasted").examples == ["star"]
    assert found(checked, "Classes missing").examples == ["star"]
    assert found(checked, "Classes that the task passes over").examples == ["Ball", "cone"]


def test_masks_missing_altogether_and_for_one_class(drawn):
    drawn.coco(masks=False)
    path = drawn.recipe()
    assert found(look(path), "No masks").weight == "error"

    def change(data):
        for item in data["annotations"][1::2]:
            del item["segmentation"]

    drawn.coco(category=[{"id": 1, "name": "ball"}, {"id": 2, "name": "box"}], change=change)
    one = found(look(path), "Classes without a foreground")
    assert (one.weight, one.examples) == ("error", ["box"])


def test_a_target_that_knows_nothing_cannot_say_what_it_fails(drawn, tmp_path):
    path = drawn.recipe("pretrain: null\n")
    one = found(look(path), "Target that nothing has trained")
    assert (one.weight, one.where) == ("warning", "target")
    assert one.advice == (
        "Its weights are random, or those of a backbone, and the recipe has no pretrain: it fails every paste, so that hard "
        "ones are blind ones. Add a pretrain, as `terse init` writes it, or name weights of a whole model in target.weights."
    )
    assert names(look(path, "synthesis.kind=random")) == []  # that arm does not ask
    assert names(look(path, "pool.refresh=1")) == []  # and here it is asked again as it learns
    assert names(look(path, "pretrain.epochs=1")) == []
    from terse.targets.detector.networks import NETWORKS

    module = NETWORKS["ssdlite_mobilenet_v2"].build(2, 64, {})
    torch.save(module.state_dict(), tmp_path / "whole.pth")
    assert "Target that nothing has trained" not in names(look(path, f"target.weights={tmp_path}/whole.pth"))


def test_labels_that_count_otherwise_than_the_data(drawn, tmp_path):
    from terse.targets.detector.networks import NETWORKS

    module = NETWORKS["ssdlite_mobilenet_v2"].build(3, 64, {})
    torch.save(module.state_dict(), tmp_path / "whole.pth")
    drawn.coco(category=[{"id": 1, "name": "ball"}, {"id": 18, "name": "dog"}])
    drawn.coco("val", seed=100, category=[{"id": 1, "name": "ball"}, {"id": 18, "name": "dog"}])
    target = "{kind: ssdlite_mobilenet_v2, image_size_px: 64, weights: whole.pth}"
    path = drawn.recipe(target=target)
    shifted = found(look(path), "Labels that may be shifted")
    assert shifted.examples == ["dog"]
    assert "(ball 1, dog 2)" in shifted.advice
    assert "(dog 18)" in shifted.advice
    assert names(look(path, "target.labels={ball: 1, dog: 2}")) == []
    (tmp_path / "torn.json").write_text('{"images": ')
    torn = look(path, f"train.coco={tmp_path}/torn.json")
    assert names(torn, "error") == ["Source that cannot be read"]
    wrong = found(look(path, "target.labels={ball: 1}"), "Target that does not fit")
    assert wrong.advice == ("target.labels: expected a label for each of ball, dog, got none for dog; add it.")


def test_labels_that_are_other_classes_by_the_names_of_the_outputs(drawn, tmp_path):
    """COCO's 91 and VOC's 21, whatever numbers the data have; labels of one's own training are not known."""
    from terse.targets.detector.networks import NETWORKS

    both = [{"id": 1, "name": "Person"}, {"id": 2, "name": "dog"}]
    drawn.coco(category=both)
    drawn.coco("val", seed=100, category=both)
    for outputs in (91, 30):
        module = NETWORKS["ssdlite_mobilenet_v2"].build(outputs, 64, {})
        torch.save(module.state_dict(), tmp_path / f"{outputs}.pth")
    path = drawn.recipe(
        target="{kind: ssdlite_mobilenet_v2, image_size_px: 64, weights: 91.pth, labels: {Person: 1, dog: 2}}"
    )
    one = found(look(path), "Labels of other classes")
    assert (str(one.code), one.weight, one.where, one.examples) == ("labels_of_others", "warning", "target", ["dog"])
    assert one.advice == (
        "The weights' outputs, as far as they are known by their names, are others than the recipe takes them for: "
        "Person: 1, dog: 18, where it takes dog: 2. Write target.labels: {Person: 1, dog: 18}, unless you trained them with "
        "other classes."
    )
    assert names(look(path, "target.labels={Person: 1, dog: 18}")) == []
    assert names(look(path, f"target.weights={tmp_path}/30.pth")) == []


@pytest.mark.parametrize(
    ("said", "wrong"),
    [("{0: 'dog', 1: 'cat', 2: 'ball'}", ["ball"]), ("['ball', 'dog']", []), ("{0: dog", []), ("7", []), ("", [])],
)
def test_labels_are_compared_with_the_names_in_an_onnx_file(drawn, tmp_path, said, wrong):
    pytest.importorskip("onnxruntime")
    from onnx_files import constant_answers, naming

    naming(constant_answers(tmp_path / "a.onnx", {"raw": np.zeros((1, 7, 20), np.float32)}, side_px=64), said)
    path = drawn.recipe(target="{kind: onnx, weights: a.onnx, outputs: {raw: raw}, labels: {ball: 0}}")
    others = [one for one in look(path).found if one.code is Code.LABELS_OF_OTHERS]
    assert [name for one in others for name in one.examples] == wrong


def test_classes_in_the_order_of_the_outputs_need_no_labels(drawn, tmp_path):
    from terse.sources.voc import VOC_CLASSES
    from terse.targets.detector.networks import NETWORKS

    module = NETWORKS["ssdlite_mobilenet_v2"].build(21, 64, {})
    torch.save(module.state_dict(), tmp_path / "voc.pth")
    given = [{"id": 100 - i, "name": name} for i, name in enumerate(VOC_CLASSES)]
    drawn.coco(category=given, count=20)
    path = drawn.recipe(target="{kind: ssdlite_mobilenet_v2, image_size_px: 64, weights: voc.pth}")
    codes = {one.code for one in look(path).found}
    assert not codes & {Code.LABELS_OF_OTHERS, Code.LABELS_SHIFTED, Code.TARGET_UNFIT}
    shuffled = ", ".join((*VOC_CLASSES[1:], VOC_CLASSES[0]))
    assert Code.LABELS_OF_OTHERS in {one.code for one in look(path, f"classes=[{shuffled}]").found}


def test_sources_that_cannot_be_read_do_not_hide_each_other(drawn):
    sources = "val: {coco: none.json, images: val-images}\ntrain: {coco: train.json, images: nowhere}\n"
    checked = look(drawn.recipe(f"{sources}synthesis: {{backbone_weights: gone.pth}}\n"))
    assert [one.where for one in checked.found if one.name == "Source that cannot be read"] == ["train", "val"]
    assert found(checked, "Files missing").examples[0].startswith("synthesis.backbone_weights: ")
    assert "foregrounds" in checked.parts
    drawn.root.joinpath("bare.yaml").write_text("base: detector\n")
    assert [one.where for one in look(drawn.root / "bare.yaml").found] == ["foregrounds", "backgrounds", "train"]


def test_images_that_train_and_judge(drawn):
    same = "val: {coco: train.json, images: train-images}\n"
    checked = look(drawn.recipe(same))
    assert [(one.weight, one.where) for one in checked.found if one.name == "Nothing left to train on"] == [
        ("error", "foregrounds"), ("error", "train")
    ]  # fmt: skip
    both = "test: {coco: val.json, images: val-images}\n"
    assert found(look(drawn.recipe(both)), "Images in val and test").weight == "warning"
    held = look(drawn.recipe("val: 0.34\n"))
    part = found(held, "Images that judge")
    assert "Pictures on both sides" not in names(held)
    assert (part.weight, part.where, len(part.examples)) == ("note", "foregrounds", 2)
    assert part.advice == "They are in val or test too. A run leaves them out of foregrounds: 4 are left."


class Seer:
    """Sees a ball in the middle of every image, and is sure of it in every second one."""

    classes = ("ball",)
    module = torch.nn.Identity()
    found = "detector"

    def predict(self, images):
        side = images.shape[-1]
        box = torch.tensor([[side / 4, side / 4, side / 2, side / 2]])
        return [
            {"boxes": box, "labels": torch.zeros(1, dtype=torch.int64), "scores": torch.tensor([0.9 if i % 2 else 0.4])}
            for i in range(len(images))
        ]


def test_backgrounds_are_searched_by_a_trained_target_alone(drawn, monkeypatch, tmp_path):
    path = drawn.recipe()
    untrained = look(path)
    assert untrained.facts[0].note == "the target is not trained yet; give --checkpoint"
    monkeypatch.setattr("terse.check.target.build_target", lambda *_: (Seer(), []))
    checked = look(path)
    one = found(checked, "Likely unlabelled objects in backgrounds")
    assert one.examples == ["b1.png (ball 0.90)", "b3.png (ball 0.90)"]
    assert one.shows[0].detections[0].xyxy_px == (40, 30, 80, 60)  # of 160x120, where the canvas has 64x64
    written = write(checked, tmp_path / "out")["leave_out"]["backgrounds"]
    write(look(path, f"backgrounds.leave_out={written}"), tmp_path / "out")
    lines = (tmp_path / "out/leave-out-backgrounds.txt").read_text().splitlines()
    assert lines == ["# backgrounds:b1.png", "# backgrounds:b3.png"]


def test_a_labelled_object_is_no_find(drawn, monkeypatch):
    def change(data):
        for item in data["annotations"]:
            item["bbox"] = [40, 30, 40, 30]

    drawn.coco("known", seed=700, change=change)
    monkeypatch.setattr("terse.check.target.build_target", lambda *_: (Seer(), []))
    checked = look(drawn.recipe("backgrounds: {coco: known.json, images: known-images}\n"))
    assert "Likely unlabelled objects in backgrounds" not in names(checked)


def test_backgrounds_with_labels_of_their_own_hide_nothing(drawn):
    path = drawn.recipe("backgrounds: {coco: train.json, images: train-images}\n")
    assert names(look(path)) == []
    assert names(look(path, f"backgrounds={{kind: images, images: {drawn.root}/train-images}}")) == [
        "Labelled objects that the backgrounds do not know"
    ]


def test_a_copy_that_gives_no_foreground_is_trains_alone(drawn, tmp_path):
    def change(data):
        del data["annotations"][2]["segmentation"]

    drawn.coco(change=change)
    path = drawn.recipe()
    (tmp_path / "val-images/val-01.png").write_bytes((tmp_path / "train-images/train-02.png").read_bytes())
    copies = found(look(path), "Pictures on both sides")
    assert (copies.where, dict(copies.leave_out)) == ("train", {"train": ["train:train-02.png"]})


def test_data_without_a_recipe(drawn, tmp_path):
    file = drawn.coco()
    Image.open(tmp_path / "train-images/train-01.png").save(tmp_path / "train-images/train-04.png")
    checked = check_data({"coco": str(file), "images": str(tmp_path / "train-images")}, "train.json")
    twice = found(checked, "Pictures that occur twice")
    assert twice.examples == ["train-01.png = train-04.png"]
    assert checked.leave_out() == {"data": ["train:train-04.png"]}
    result = write(checked, tmp_path / "out")
    assert result["parts"] == {"data": {"images": 6, "objects": 6, "masks": 6, "skipped": 0}}
    assert json.loads((tmp_path / "out/findings.json").read_text()) == result
    page = (tmp_path / "out/report.html").read_text()
    assert "Ready, with 1 thing to look at" in page


def test_a_drawn_recipe_has_nothing_to_look_at_but_its_target():
    checked = look("shapes")
    assert checked.found == []
    assert [fact.value for fact in checked.facts] == ["180", "90", "180", "60", "120"]


@pytest.mark.parametrize(
    ("overrides", "refusal"),
    [
        (
            ["synthesis={kind: learned, network: photographs}", "canvas_px=96"],
            "synthesis.input_px: expected an integer >= 128, got 96; "
            "a sixteenth of it passes three 3x3 convolutions without padding, 300 is the paper's, null takes the canvas",
        ),
        (
            ["synthesis={kind: learned, feedback: critic, discriminator: true}"],
            "synthesis.discriminator: expected false beside synthesis.feedback: critic, got one; "
            "a critic moves no pose, so realism has nobody to teach",
        ),
        (
            ["poses.scale={cube: [0.2, 0.3], default: [0.1, 1.0]}"],
            "poses.scale: expected classes of the foregrounds, got 'cube'; known are ball",
        ),
    ],
)
def test_what_building_a_run_refuses_is_an_error_in_the_same_words(drawn, overrides, refusal):
    recipe = load_recipe(drawn.recipe(), overrides)
    with pytest.raises(RecipeError) as refused:
        build_players(recipe)
    assert str(refused.value) == refusal
    checked = check_recipe(recipe, "drawn")
    assert [(one.name, one.advice) for one in checked.found if one.weight == "error"] == [
        ("Settings that are refused", f"{refusal}.")
    ]
    assert not checked.ready


def test_groups_that_no_test_image_knows_are_an_error(drawn):
    checked = look(drawn.recipe(), "test_groups.clusters=video")
    assert [one.advice for one in checked.found if one.weight == "error"] == [
        "test_groups: expected a field of the test images, got 'video', which none of them has."
    ]


def test_a_drawn_recipe_is_built_too():
    checked = look("quickstart", "synthesis.network=photographs", "canvas_px=96")
    assert names(checked, "error") == ["Settings that are refused"]


@pytest.mark.parametrize(
    ("method", "answer", "error"),
    [
        (
            "confidence",
            lambda target, images, truth: torch.full((len(images),), torch.nan),
            "target.confidence: expected ClassificationTarget to give probabilities, got [nan, nan].",
        ),
        (
            "train_loss",
            lambda target, images, truth: torch.tensor(torch.inf, requires_grad=True),
            "target.train_loss: expected ClassificationTarget to give a finite number, got inf; look at its input with "
            "`terse preview`.",
        ),
        (
            "evidence",
            lambda target, images, truth: EVIDENCE(target, images.detach(), truth),
            "target: expected evidence to be differentiable in the pixels, got no gradient; the learned arm cannot see what makes "
            "it fail, synthesis.kind=mined can.",
        ),
    ],
)
def test_first_answers_that_a_run_refuses_are_an_error(monkeypatch, method, answer, error):
    monkeypatch.setattr(ClassificationTarget, method, answer)
    checked = look("quickstart", "data.train=20", "data.val=20", "data.test=20")
    assert [one.advice for one in checked.found] == [error]


def test_samples_are_evenly_spread_and_said(drawn):
    assert sampled(5, 0) == sampled(5, 9) == [0, 1, 2, 3, 4]
    assert sampled(9, 3) == [0, 4, 8]
    said = []

    class Listens(Observer):
        def say(self, message):
            said.append(message)

        def advance(self, what, done, total):
            assert 0 < done <= total

    look(drawn.recipe(), sample=1, observer=Listens())
    assert "train: 1 of 6 images are decoded; --sample 0 looks at all of them" in said
    assert "foregrounds: 5 of 6 masks are looked at; --sample 0 looks at all of them" in said


def test_every_code_has_its_sentence_and_every_flaw_of_cleanup_its_code():
    """A new flaw or code would else stop a check where it is found."""
    assert all(code.heading and code.advice for code in Code)
    assert set(MASK_CODES) == set(Flaw)
    assert list(MASK_CODES)[-1] is Flaw.UNREADABLE


def test_what_is_skipped_is_sorted_by_cause_whatever_the_sentence_says(drawn):
    """A file may be called as a sentence begins."""

    def change(data):
        data["annotations"][0].update(bbox=[0, 0, 0, 5], segmentation=[])
        data["annotations"][1]["category_id"] = 77
        data["annotations"][2]["segmentation"] = [[1, 2, 3, 4]]
        data["annotations"][3]["segmentation"] = [[1, 2]]

    drawn.coco("expected an image file", change=change)
    source = "{coco: expected an image file.json, images: expected an image file-images}"
    checked = look(drawn.recipe(f"train: {source}\n"))
    one = found(checked, "Annotations that cannot be used")
    assert one.code is Code.ANNOTATIONS_UNUSABLE
    assert len(one.examples) == 4
    assert one.advice == (
        "What each sentence names is left out (annotations of no class: 1, boxes that cannot be used: 1, outlines that "
        "cannot be used: 2); correct it at its source."
    )


def test_thumbnails_show_the_object_and_its_mask(drawn, tmp_path):
    from terse.check.thumbnails import gallery_of

    def change(data):
        data["annotations"][1]["bbox"] = [5, 5, 20, 20]

    drawn.coco(change=change)
    checked = look(drawn.recipe(), "cleanup=false")
    items = list(gallery_of(checked.found).items)
    assert [item.arm for item in items] == ["Mask and box disagree"]
    item = items[0]
    assert item.image.shape[:2] == item.masks[0].shape
    assert item.masks[0].mean() == pytest.approx(np.pi * 30**2 / item.masks[0].size, rel=0.05)
    assert item.record["object"] == "train:train-01.png:1"


def small_dots(data):
    """Every second object is a dot of 12 px."""
    data["categories"] = [{"id": 1, "name": "ball"}, {"id": 2, "name": "dot"}]
    for item in data["annotations"][1::2]:
        x, y = 20, 20
        item.update(category_id=2, bbox=[x, y, 12, 12], segmentation=[[x, y, x + 12, y, x + 12, y + 12, x, y + 12]])


@pytest.mark.parametrize("sample", [0, 1])
def test_a_class_that_cleanup_takes_whole_is_an_error(drawn, sample):
    """A run stops at it, and says the same."""
    from terse.errors import DataError
    from terse.sources.run_data import run_data

    drawn.coco(count=12, change=small_dots)
    path = drawn.recipe()
    checked = look(path, sample=sample)
    lost = found(checked, "Classes of which nothing is left")
    assert (lost.weight, lost.where, lost.examples) == ("error", "foregrounds", ["dot (6 too small)"])
    with pytest.raises(DataError) as stop:
        run_data(load_recipe(path))
    assert str(stop.value) == (
        "foregrounds: expected something to paste of each class, got none of dot (6 too small); name the classes to paste "
        "in foregrounds.classes, or keep what cleanup takes by cleanup: false; `terse check` shows it"
    )
    for mended in ("foregrounds.classes=[ball]", "cleanup=false"):
        assert "Classes of which nothing is left" not in names(look(path, mended))
        run_data(load_recipe(path, [mended]))


def test_a_class_that_val_takes_whole_is_an_error(drawn):
    """The one box stands on an image of val."""

    def one_box(data):
        for item in data["annotations"]:
            item["category_id"] = 2 if item["id"] == 2 else 1

    def held_out(data):
        one_box(data)
        data["images"], data["annotations"] = ([part[2], part[4]] for part in (data["images"], data["annotations"]))

    both = [{"id": 1, "name": "ball"}, {"id": 2, "name": "box"}]
    drawn.coco(category=both, change=held_out)
    (drawn.root / "train.json").rename(drawn.root / "held.json")
    drawn.coco(category=both, change=one_box)
    lost = found(
        look(drawn.recipe("val: {coco: held.json, images: train-images}\n")), "Classes of which nothing is left"
    )
    assert lost.examples == ["box (1 on images of val or test)"]


def corners(data):
    for item in data["annotations"]:
        x, y, width, height = item["bbox"]
        item["bbox"] = [x, y, x + width, y + height]


def large_corners(data):
    """Of large objects near the corner, the two readings overlap by more than half."""
    for item in data["annotations"]:
        item["segmentation"] = [[24, 20, 114, 20, 114, 105, 24, 105]]
        item["bbox"] = [24, 20, 114, 105]


def centres(data):
    for item in data["annotations"]:
        x, y, width, height = item["bbox"]
        item["bbox"] = [x + width / 2, y + height / 2, width, height]


def swapped(data):
    for item in data["annotations"]:
        outline = np.array(item["segmentation"][0]).reshape(-1, 2) * [1.1, 0.5]
        low, high = outline.min(axis=0), outline.max(axis=0)
        item["bbox"] = [*low.tolist(), *(high - low).tolist()]
        item["segmentation"] = [outline[:, ::-1].ravel().tolist()]


def by_rows(data):
    for item in data["annotations"]:
        mask = np.zeros((120, 160), np.uint8)
        x, y, width, height = (round(side) for side in item["bbox"])
        mask[y : y + height, x : x + width] = 1
        flat = mask.ravel()
        ends = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff([0, *ends.tolist(), flat.size]).tolist()
        item["segmentation"] = {"size": [120, 160], "counts": runs}


def elsewhere(data):
    for item in data["annotations"]:
        item["bbox"] = [1, 1, 20, 20]


@pytest.mark.parametrize(
    ("change", "guess"),
    [
        (corners, "CORNERS"),
        (large_corners, "CORNERS"),
        (centres, "CENTRES"),
        (swapped, "SWAPPED"),
        (by_rows, "BY_ROWS"),
        (elsewhere, "UNKNOWN"),
    ],
)
def test_boxes_that_contradict_their_masks_are_an_error_that_says_which_look_wrong(drawn, change, guess):
    from terse.sources.losses import Contradiction

    file = drawn.coco(change=change)
    checked = check_data({"coco": str(file), "images": str(drawn.root / "train-images")}, "train.json")
    assert not checked.ready
    one = found(checked, "Boxes contradict masks")
    assert (one.weight, len(one.examples)) == ("error", 6)
    assert one.advice == f"Most of them do; {Contradiction[guess]}."
    recipe = look(drawn.recipe())
    assert found(recipe, "Boxes contradict masks").where == "foregrounds"


def test_masks_that_were_all_left_out_are_an_error(drawn):
    def change(data):
        for item in data["annotations"]:
            item["segmentation"] = {"size": [160, 120], "counts": [160 * 120]}

    file = drawn.coco(change=change)
    checked = check_data({"coco": str(file), "images": str(drawn.root / "train-images")}, "train.json")
    assert not checked.ready
    assert found(checked, "No mask that can be used").advice == (
        "The annotations have masks, and every one was left out (6 parts of them): train.json: "
        "annotations[0].segmentation.size: expected the image's [120, 160], got [160, 120]; it reads as width by height; "
        "the mask is left out."
    )


def test_classes_that_differ_by_case_alone_are_kept_apart_and_named(drawn):
    file = drawn.coco(category=[{"id": 1, "name": "disc"}, {"id": 2, "name": "Disc"}])
    checked = check_data({"coco": str(file), "images": str(drawn.root / "train-images")}, "train.json")
    assert checked.ready
    assert found(checked, "Classes that hardly differ").examples == ["disc = Disc"]
    assert len(checked.parts["data"].annotations.classes) == 2


def cut_outs(folder, *, framed):
    """Opaque pictures: a plain rim around something else, or cropped tight to a thing that fills them."""
    (folder / "cup").mkdir(parents=True)
    for i in range(3):
        rgba = np.full((90, 60, 4), 255, np.uint8)
        if framed:
            rgba[20:70, 15:45, :3] = [200, 40 + i, 30]
        else:
            rgba[..., :3] = [200, 40 + 20 * i, 30]
        Image.fromarray(rgba).save(folder / f"cup/a{i}.png")
    return {"cutouts": str(folder)}


def test_a_tight_cut_out_is_sound_and_a_background_left_in_is_not(tmp_path):
    assert check_data(cut_outs(tmp_path / "tight", framed=False), "cut").found == []
    checked = check_data(cut_outs(tmp_path / "framed", framed=True), "cut")
    assert not checked.ready
    assert found(checked, "Cut-outs with their background left in").examples[0] == (
        "framed:cup/a0.png:0 (its alpha is opaque everywhere, and a plain background is left around the object)"
    )
    assert found(checked, "Nothing to cut out").advice == (
        "Not one of them can be pasted: 3 cut-outs with their plain background left in. Make cut-outs with a transparent rim."
    )


def test_masks_are_counted_as_init_counts_them(drawn, tmp_path):
    def change(data):
        data["annotations"][0]["iscrowd"] = 1
        data["annotations"][1]["ignore"] = 1

    file = drawn.coco(change=change)
    source = {"coco": str(file), "images": str(tmp_path / "train-images")}
    result = write(check_data(source, "train.json"), tmp_path / "out")
    assert result["parts"]["data"]["masks"] == 4 == sum(survey(read_data(source)).masks.values())


SETS_ALONE = "train: null\nval: null\npretrain: null\ncycles: 0\n"


def test_a_recipe_for_sets_alone_is_ready_for_them(drawn, tmp_path):
    """What trains nothing needs nothing to train on, no target and not every class."""

    def change(data):
        for item in data["annotations"][1::2]:
            del item["segmentation"]

    drawn.coco(category=[{"id": 1, "name": "ball"}, {"id": 2, "name": "box"}], change=change)
    path = drawn.recipe(SETS_ALONE, target="{kind: ssdlite_mobilenet_v2, weights: none.pth}")
    checked = look(path)
    assert (names(checked, "error"), checked.command) == ([], "generate")
    assert found(checked, "Classes that no set has").examples == ["box"]
    write(checked, tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text()
    assert "It is for sets: it names nothing to train, or to train on." in page
    assert f"terse generate {path} --count 1000" in page
    assert f"terse train {path}" not in page


def test_a_recipe_for_sets_alone_needs_what_is_pasted_and_on_what(drawn):
    path = drawn.recipe(SETS_ALONE + "backgrounds: null\n")
    assert [(one.name, one.where) for one in look(path).found] == [("Source missing", "backgrounds")]
    assert [one.where for one in look(path, "cycles=1").found][:2] == ["backgrounds", "train"]
    scale = "poses.scale={cube: [0.2, 0.3], default: [0.1, 1.0]}"
    refused = look(drawn.recipe(SETS_ALONE), scale).found
    assert [(one.name, one.advice) for one in refused] == [
        ("Settings that are refused", "poses.scale: expected classes of the foregrounds, got 'cube'; known are ball.")
    ]


def test_a_set_of_which_cleanup_leaves_a_class_can_be_made(drawn):
    drawn.coco(count=12, change=small_dots)
    path = drawn.recipe(SETS_ALONE)
    lost = found(look(path), "Classes that no set has")
    assert (lost.weight, lost.examples) == ("warning", ["dot (6 too small)"])
    assert names(look(path, "foregrounds.classes=[dot]"), "error") == ["Classes of which nothing is left"]


def only_dots(data):
    """All objects are dots, and a class has none, as most of COCO's 80 in a set of few."""
    data["categories"] = [{"id": 1, "name": "dot"}, {"id": 2, "name": "never"}]
    for item in data["annotations"]:
        item.update(category_id=1, bbox=[20, 20, 12, 12], segmentation=[[20, 20, 32, 20, 32, 32, 20, 32]])


def test_a_set_of_which_cleanup_leaves_nothing_cannot_be_made(drawn):
    drawn.coco(count=12, change=only_dots)
    checked = look(drawn.recipe(SETS_ALONE))
    assert found(checked, "Classes of which nothing is left").examples == ["dot (12 too small)"]
    assert not checked.ready


def test_a_flawed_mask_is_told_by_the_flaw_that_it_is_counted_by(drawn):
    def apart(data):
        small_dots(data)
        for item in data["annotations"][1::2]:
            item["bbox"] = [20, 20, 20, 20]

    drawn.coco(count=12, change=apart)
    small = found(look(drawn.recipe()), "Small objects")
    assert small.examples[0].endswith("(12x12 px, its longer side less than 32)")
