"""`terse masks` as a user runs it: from boxes alone to a recipe, and what is refused."""

import html
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import drawn_boxes
from commands import run
from drawn_photographs import Drawn
from terse.recipe import load_recipe


@pytest.fixture
def boxes(tmp_path, monkeypatch):
    """A COCO file of boxes alone, its images and backgrounds, in the working directory."""
    drawn_boxes.coco(tmp_path, count=4)
    Drawn(tmp_path).backgrounds()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def masks(capsys, *arguments):
    return run(capsys, "masks", "boxes.json", "--out", "masks.json", "--workers", "0", *arguments)


def test_boxes_alone_become_a_recipe_that_pastes_by_the_commands_that_the_refusal_names(boxes, capsys):
    code, _, err = run(capsys, "init", "--coco", "boxes.json", "--backgrounds", "backgrounds")
    assert code == 2
    assert "terse masks boxes.json --images images --out masks.json" in err
    code, out, _ = masks(capsys)
    assert code == 0
    assert out.splitlines() == [
        "masks        4 from grabcut, 0 dropped",
        "written      masks.json",
        "page         masks.html: tick off the bad ones, save the list, and give it to --drop",
        "in a recipe",
        f"  foregrounds: {{coco: masks.json, images: {boxes / 'images'}}}",
        "or now type",
        f"  terse init --coco masks.json --images {boxes / 'images'} --backgrounds D",
    ]
    assert {path.name for path in boxes.glob("masks*")} == {"masks.json", "masks.html"}
    code, out, err = run(capsys, "init", "--coco", "masks.json", "--images", "images", "--backgrounds", "backgrounds")
    assert (code, err) == (0, "")
    code, _, err = run(capsys, "preview", "recipe.yaml", "--count", "4", "--out", "sheet.png", "canvas_px=64")
    assert (code, err) == (0, "")


def test_what_is_to_be_typed_next_is_quoted(boxes, capsys):
    code, out, err = run(capsys, "masks", "boxes.json", "--out", "my masks, 1.json", "--workers", "0")
    assert code == 0, err
    assert f'  foregrounds: {{coco: "my masks, 1.json", images: {boxes / "images"}}}' in out.splitlines()
    assert "--drop 'my masks, 1-drop.json'" in html.unescape((boxes / "my masks, 1.html").read_text())


def test_the_commands_of_the_readme_lead_from_boxes_alone_to_composites(boxes, capsys):
    (boxes / "images").rename(boxes / "photographs")
    code, _, err = run(
        capsys, "init", "--coco", "boxes.json", "--images", "photographs", "--backgrounds", "backgrounds"
    )
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    block = readme.partition("Boxes alone are enough")[2].split("```")[1]
    commands = [shlex.split(line) for line in block.splitlines() if line.startswith("terse ") and "--drop" not in line]
    assert [words[1] for words in commands] == ["masks", "init", "generate"]
    assert code == 2
    assert shlex.join(commands[0]) in err
    for words in commands:
        small = ("--workers", "0") if words[1] != "init" else ()
        given = ["4" if word == "1000" else word for word in words[1:]]
        code, _, err = run(capsys, *given, *small)
        assert code == 0, err
    assert len(json.loads((boxes / "composites/annotations.json").read_text())["images"]) == 4


def test_a_saved_list_drops_masks_and_nothing_is_cut_again(boxes, capsys, monkeypatch):
    masks(capsys)
    first = json.loads((boxes / "masks.json").read_text())
    (boxes / "list.json").write_text(json.dumps({"drop": ["boxes:01.png:1"]}))
    monkeypatch.setattr("terse.masks.grabcut.GrabCut.cut", None)
    code, out, _ = masks(capsys, "--drop", "list.json", "--json")
    assert code == 0
    assert {key: json.loads(out)[key] for key in ("masks", "dropped", "failed", "sources")} == {
        "masks": 3,
        "dropped": 1,
        "failed": 0,
        "sources": {"grabcut": 4},
    }
    second = json.loads((boxes / "masks.json").read_text())["annotations"]
    assert "segmentation" not in second[1]
    assert second[1]["bbox"] == first["annotations"][1]["bbox"]
    masks(capsys)
    assert json.loads((boxes / "masks.json").read_text()) == first


def classes_of_pixels(file, truth, number):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((truth * number).astype(np.uint8)).save(file)


@pytest.mark.parametrize("folder", ["classes", "SegmentationClass"])
def test_a_given_folder_of_class_segmentations_is_used_whatever_its_name(boxes, capsys, folder):
    _, truths = drawn_boxes.coco(boxes, count=4)
    for i, truth in enumerate(truths):
        classes_of_pixels(boxes / "seg" / folder / f"{i:02}.png", truth, 1 + i % 2)
    code, out, err = masks(capsys, "--segmentation", f"seg/{folder}", "--json")
    assert (code, json.loads(out)["sources"]) == (0, {"segmentation": 4}), err


def in_two_folders(root):
    """Two photographs of one name, a/0.png and b/0.png; returns the true masks."""
    file, truths = drawn_boxes.coco(root, count=2)
    data = json.loads(file.read_text())
    for image, folder in zip(data["images"], "ab", strict=True):
        (root / "images" / folder).mkdir()
        (root / "images" / image["file_name"]).rename(root / f"images/{folder}/0.png")
        image["file_name"] = f"{folder}/0.png"
    file.write_text(json.dumps(data))
    return truths


def test_a_segmentation_under_a_name_that_two_images_have_is_not_used_and_that_is_said(boxes, capsys):
    truths = in_two_folders(boxes)
    classes_of_pixels(boxes / "seg/0.png", truths[0] | truths[1], 1)
    code, out, err = masks(capsys, "--segmentation", "seg", "--json")
    assert (code, json.loads(out)["sources"]) == (0, {"grabcut": 2})
    assert (
        "segmentation: 2 images have no file of their own in seg, because others share their name, the first being "
        "a/0.png; a file is looked for by the image's path, then by a name that one image alone has"
    ) in err


def test_segmentations_in_the_folders_of_their_images_are_found(boxes, capsys):
    truths = in_two_folders(boxes)
    for folder, number, truth in zip("ab", (1, 2), truths, strict=True):
        classes_of_pixels(boxes / f"seg/{folder}/0.png", truth, number)
    code, out, err = masks(capsys, "--segmentation", "seg", "--json")
    assert (code, json.loads(out)["sources"]) == (0, {"segmentation": 2}), err
    written = json.loads((boxes / "masks.json").read_text())["annotations"]
    assert [line["area"] for line in written] == [int(truth.sum()) for truth in truths]
    assert "segmentation:" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--min-score", "2"], "--min-score: expected a number from 0 to 1, got 2"),
        (["--engine", "sam"], "--model: expected the folder of a SAM-family model for --engine sam, got none"),
        (["--model", "m"], "--model: expected it beside --engine sam, got it beside grabcut, which needs none"),
        (["--drop", "no.json"], "--drop: expected the list that the page of the masks saves, got nothing at no.json"),
        (["canvas_px=3"], "canvas_px=3: expected it beside a recipe, got data"),
        (["--segmentation", "no"], "--segmentation: expected a folder of PNGs, got nothing at no"),
        (["--segmentation", "boxes.json"], "--segmentation: expected a folder of PNGs, got a file at boxes.json"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(boxes, capsys, arguments, message):
    code, _, err = masks(capsys, *arguments)
    assert (code, err) == (2, f"terse: {message}\n")
    assert not (boxes / "masks.json").exists()


def test_the_line_that_goes_on_asks_for_all_that_was_asked(boxes, capsys, monkeypatch):
    monkeypatch.setattr("terse.cli.progress.Lines.stop", lambda _: True)
    (boxes / "list.json").write_text("[]")
    code, out, err = masks(capsys, "--min-score", "0.3", "--drop", "list.json")
    assert (code, out) == (130, "")
    again = "--out masks.json --drop list.json --min-score 0.3 --workers 0 --resume"
    assert err == f"stopped; go on with: terse masks boxes.json {again}\n"


def test_a_list_of_other_masks_and_a_file_of_others_are_refused(boxes, capsys):
    masks(capsys)
    (boxes / "list.json").write_text('["other:01.png:1"]')
    code, _, err = masks(capsys, "--drop", "list.json")
    assert (code, err) == (
        2,
        "terse: --drop: expected keys of masks that were made, got 1 others, the first being 'other:01.png:1'; "
        "save the list from the page of these masks\n",
    )
    data = json.loads((boxes / "boxes.json").read_text())
    data["annotations"].pop()
    (boxes / "boxes.json").write_text(json.dumps(data))
    code, _, err = masks(capsys)
    assert (code, err) == (
        2,
        "terse: --out: expected a new file, got masks.json, one of other data or another engine; "
        "name another or remove it\n",
    )


@pytest.fixture
def coco(boxes):
    """The boxes in a file as COCO's own are: cats are 17, dogs 18, and a class has no objects."""
    drawn_boxes.coco(boxes, count=10)
    data = json.loads((boxes / "boxes.json").read_text())
    categories = [{"id": 18, "name": "dog", "supercategory": "animal"}, {"id": 17, "name": "cat"}]
    data["categories"] = [*categories, {"id": 3, "name": "car", "colour": {"r": 1}}]
    for line in data["annotations"]:
        line["category_id"] += 16
    (boxes / "boxes.json").write_text(json.dumps(data))
    return boxes


def written(root):
    return json.loads((root / "masks.json").read_text())


def test_categories_of_a_coco_file_stay_as_they_are_and_a_detector_of_coco_gets_its_own_labels(coco, capsys):
    from terse.targets.detector.networks import NETWORKS

    code, _, err = masks(capsys)
    assert code == 0, err
    given = json.loads((coco / "boxes.json").read_text())
    assert written(coco)["categories"] == given["categories"]
    assert [line["category_id"] for line in written(coco)["annotations"]] == [17, 18] * 5
    detector = "ssdlite320_mobilenet_v3_large"
    torch.save(NETWORKS[detector].build(91, 320, {}).state_dict(), "whole.pth")
    told = ("--images", "images", "--backgrounds", "backgrounds", "--target", detector, "--weights", "whole.pth")
    code, _, err = run(capsys, "init", "--coco", "masks.json", *told)
    assert code == 0, err
    assert load_recipe("recipe.yaml").target.labels == {"cat": 17, "dog": 18}


def test_categories_of_a_recipe_with_other_names_and_of_a_file_that_numbered_them_from_1(coco, capsys):
    source = "{coco: boxes.json, images: images, rename: {cat: pet, car: thing}, classes: [pet, dog]}"
    (coco / "mine.yaml").write_text(f"base: detector\nforegrounds: {source}\n")
    code, _, err = run(capsys, "masks", "mine.yaml", "--out", "masks.json", "--workers", "0")
    assert code == 0, err
    kept = [{"id": 17, "name": "pet"}, {"id": 18, "name": "dog", "supercategory": "animal"}]
    assert written(coco)["categories"] == kept
    older = written(coco)
    older["categories"] = [{"id": 1, "name": "pet"}, {"id": 2, "name": "dog"}]
    for line in older["annotations"]:
        line["category_id"] -= 16
    (coco / "masks.json").write_text(json.dumps(older))
    (coco / "list.json").write_text(json.dumps(["boxes:03.png:3"]))
    again = ("masks", "mine.yaml", "--out", "masks.json", "--workers", "0", "--drop", "list.json")
    code, _, err = run(capsys, *again)
    assert code == 0, err
    assert written(coco)["categories"] == kept
    assert [line["category_id"] for line in written(coco)["annotations"]] == [17, 18] * 5
    assert "dropped" in written(coco)["annotations"][3]


def test_an_area_of_the_data_stays_and_else_it_is_the_masks(coco, capsys):
    data = json.loads((coco / "boxes.json").read_text())
    for line, area in zip(data["annotations"], ({"area": 1300.5}, {"area": 7}, {}), strict=False):
        x, y, width, height = line["bbox"]
        line |= {"segmentation": [[x, y, x + width, y, x, y + height]], **area}
    (coco / "boxes.json").write_text(json.dumps(data))
    code, _, err = masks(capsys)
    assert code == 0, err
    given, other, untold, made = written(coco)["annotations"][:4]
    assert (given["area"], other["area"]) == (1300.5, 7)
    for line, low, high in ((untold, 0.4, 0.6), (made, 0.7, 0.9)):
        assert low < line["area"] / (line["bbox"][2] * line["bbox"][3]) < high
