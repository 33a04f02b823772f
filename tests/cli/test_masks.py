"""`terse masks` as a user runs it: from boxes alone to a recipe, and what is refused."""

import html
import json
import shlex
from pathlib import Path

import pytest

import drawn_boxes
from commands import run
from drawn_photographs import Drawn


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
