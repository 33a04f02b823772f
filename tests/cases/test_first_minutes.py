"""A user's first minutes with sets like public ones: `init`, `check`, `preview`, `train`, and `generate` in four formats."""

import json
import shlex
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from ruamel.yaml import YAML

from commands import run
from strangers import BOXES, SIZE, box_line, disc, outline_line, photograph
from terse.recipe import load_recipe

COUNT = 12
SMALL = (
    "canvas_px=96", "target.image_size_px=96", "synthesis.batch_size=2", "pretrain.steps=1", "pretrain.batch_size=2",
    "fine_tune.steps=1", "fine_tune.batch_size=2", "pool={per_cycle: 2, candidates: 4}", "cycles=1",
    "hardness.below=1", "runtime.workers=0",
)  # fmt: skip
FORMATS = ("coco", "voc", "yolo", "webdataset")


def photos(folder, stems, suffix=".jpg"):
    for i, stem in enumerate(stems):
        photograph(folder / f"{stem}{suffix}", i)


def numbered(pattern):
    return [pattern.format(i) for i in range(COUNT)]


def voc(root, stems, xml, images, names=("disc",), filename="{}.jpg"):
    """XML with boxes alone."""
    photos(root / images, stems)
    (root / xml).mkdir(exist_ok=True)
    for i, stem in enumerate(stems):
        x, y, w, h = BOXES[i % len(BOXES)]
        (root / xml / f"{stem}.xml").write_text(
            f"<annotation><folder>{images}</folder><filename>{filename.format(stem)}</filename>"
            f"<path>/Users/dat/Desktop/{images}/{stem}.jpg</path><size><width>{SIZE[0]}</width><height>{SIZE[1]}</height>"
            f"<depth>3</depth></size><segmented>0</segmented><object><name>{names[i % len(names)]}</name><pose>Unspecified"
            f"</pose><truncated>0</truncated><difficult>0</difficult><bndbox><xmin>{x}</xmin><ymin>{y}</ymin>"
            f"<xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object></annotation>"
        )


def raccoon(root):
    voc(root, numbered("raccoon-{}"), "annotations", "images", names=("raccoon",))
    return root


def kangaroo(root):
    voc(root, numbered("{:05}"), "annots", "images", names=("kangaroo",))
    return root


def bccd(root):
    """Three classes, and names without an ending."""
    voc(root, numbered("BloodImage_{:05}"), "Annotations", "JPEGImages", ("RBC", "WBC", "Platelets"), filename="{}")
    (root / "ImageSets/Main").mkdir(parents=True)
    (root / "ImageSets/Main/trainval.txt").write_text("\n".join(numbered("BloodImage_{:05}")))
    return root


def labelme(root):
    stems = numbered("IMG_{}")
    photos(root, stems)
    for i, stem in enumerate(stems):
        points = np.reshape(disc(i % len(BOXES)), (-1, 2)).tolist()
        shape = {"label": "cat", "points": points, "group_id": None, "shape_type": "polygon", "flags": {}}
        page = {"version": "5.0.1", "flags": {}, "shapes": [shape], "imagePath": f"{stem}.jpg", "imageData": None}
        (root / f"{stem}.json").write_text(json.dumps({**page, "imageHeight": SIZE[1], "imageWidth": SIZE[0]}))
    return root


def cvat(root):
    stems = numbered("frame_{:06}")
    photos(root / "images", stems)
    images = []
    for i, stem in enumerate(stems):
        points = ";".join(f"{x},{y}" for x, y in np.reshape(disc(i % len(BOXES)), (-1, 2)).tolist())
        images.append(
            f'<image id="{i}" name="{stem}.jpg" width="{SIZE[0]}" height="{SIZE[1]}"><polygon label="car" source="manual" '
            f'occluded="0" points="{points}" z_order="0"></polygon></image>'
        )
    text = "".join(images)
    (root / "annotations.xml").write_text(f"<annotations><version>1.1</version>{text}</annotations>")
    return root


def roboflow(root):
    """Its YOLO export, with a val of its own."""
    stems = numbered("a_{}_jpg.rf.0123")
    for i, stem in enumerate(stems):
        part = root / ("valid" if i % 4 == 3 else "train")
        photograph(part / "images" / f"{stem}.jpg", i)
        (part / "labels").mkdir(exist_ok=True)
        (part / "labels" / f"{stem}.txt").write_text(outline_line(i % len(BOXES)))
    yaml = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 1\nnames: ['disc']\n"
    (root / "data.yaml").write_text(yaml + "\nroboflow:\n  workspace: x\n  license: CC BY 4.0\n")
    return root / "data.yaml"


def roboflow_coco(root):
    stems = numbered("a_{}_jpg.rf.0123")
    photos(root / "train", stems)
    images = [
        {"id": i, "license": 1, "file_name": f"{stem}.jpg", "width": SIZE[0], "height": SIZE[1]}
        for i, stem in enumerate(stems)
    ]
    notes = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": list(BOXES[i % 6]), "area": 9, "segmentation": [disc(i % 6)]}
        for i in range(COUNT)
    ]
    classes = [{"id": 0, "name": "discs", "supercategory": "none"}, {"id": 1, "name": "disc", "supercategory": "discs"}]
    page = {"images": images, "annotations": [{**note, "iscrowd": 0} for note in notes], "categories": classes}
    (root / "train/_annotations.coco.json").write_text(json.dumps(page))
    return root / "train"


def label_studio(root):
    """Its YOLO export: boxes alone, no yaml."""
    stems = numbered("3f2a-{}")
    photos(root / "images", stems)
    (root / "labels").mkdir()
    for i, stem in enumerate(stems):
        (root / "labels" / f"{stem}.txt").write_text(box_line(i % len(BOXES)))
    (root / "classes.txt").write_text("disc\n")
    (root / "notes.json").write_text('{"categories": [{"id": 0, "name": "disc"}], "info": {"year": 2024}}')
    return root


BOXES_ALONE = (raccoon, kangaroo, bccd, label_studio)
OUTLINED = (labelme, cvat, roboflow, roboflow_coco)
PREVIEWED = (bccd, roboflow)  # boxes and several classes, outlines and a val; the sheet knows no more of a set
ALL = pytest.mark.parametrize("draw", [*BOXES_ALONE, *OUTLINED], ids=lambda draw: draw.__name__)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A working directory with backgrounds."""
    for i in range(5):
        photograph(tmp_path / f"backgrounds/b{i}.jpg", 20 + i, size=(200, 150))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def done(capsys, *arguments):
    code, out, err = run(capsys, *arguments)
    assert code == 0, f"{arguments}: {out}{err}"
    return out


def recipe_of(capsys, work, draw):
    """The recipe that the commands of a first look end with."""
    (work / "set").mkdir()
    data = draw(work / "set").relative_to(work)
    init = ["init", "--data", data, "--backgrounds", "backgrounds"]
    if draw in BOXES_ALONE:
        code, _, err = run(capsys, *init)
        assert code == 2
        (masks,) = [line for line in err.split("`") if line.startswith("terse masks")]
        done(capsys, *shlex.split(masks)[1:], "--workers", "0")
        assert Path("masks.json").exists()
        init = ["init", "--data", "masks.json", "--backgrounds", "backgrounds"]
    done(capsys, *init)
    return "recipe.yaml"


@ALL
def test_a_set_becomes_composites(work, capsys, draw):
    recipe = recipe_of(capsys, work, draw)
    assert json.loads(done(capsys, "check", recipe, "--json"))["ready"]
    if draw in PREVIEWED:
        done(capsys, "preview", recipe, *SMALL, "--count", "4", "--out", "sheet.png")
    for kind in FORMATS if draw in (raccoon, roboflow) else FORMATS[:1]:
        given = ("--format", kind, "--count", "4", "--workers", "0", "--out", f"as-{kind}")
        made = json.loads(done(capsys, "generate", recipe, *SMALL, *given, "--json"))
        assert made["images"] == 4
        assert made["objects"] >= 4


@pytest.mark.slow
@ALL
def test_a_set_trains_and_its_run_generates(work, capsys, draw):
    recipe = recipe_of(capsys, work, draw)
    done(capsys, "train", recipe, *SMALL, "--out", "run")
    made = json.loads(done(capsys, "generate", "run", "--count", "2", "--workers", "0", "--out", "more", "--json"))
    assert made["images"] == 2


WORDS = ("no", "yes", "1", "a: b", "null", "on", "x/y", "#h")


def names_in(kind, out):
    """The classes that a reader of the format finds."""
    if kind == "coco":
        return {one["name"] for one in json.loads((out / "annotations.json").read_text())["categories"]}
    if kind == "voc":
        files = out.rglob("Annotations/*.xml")
        return {name.text for file in files for name in ET.parse(file).iter("name")}
    if kind == "webdataset":
        return set(json.loads((out / "manifest.json").read_text())["summary"]["per_class"])
    reader = YAML(typ="safe", pure=True)
    reader.version = (1, 1)
    return set(reader.load((out / "data.yaml").read_text())["names"].values())


def test_names_that_yaml_reads_otherwise_stay_words_from_init_to_every_format(work, capsys):
    data = roboflow_coco(work)
    found = json.loads((data / "_annotations.coco.json").read_text())
    found["categories"] = [{"id": i, "name": name} for i, name in enumerate(WORDS)]
    for i, note in enumerate(found["annotations"]):
        note["category_id"] = i % len(WORDS)
    (data / "_annotations.coco.json").write_text(json.dumps(found))
    done(capsys, "init", "--data", "train", "--backgrounds", "backgrounds")
    pasted = set(load_recipe("recipe.yaml").foregrounds.classes)
    assert {"no", "#h", "x/y", "a: b"} & pasted
    assert pasted <= set(WORDS)
    for kind in FORMATS:
        given = ("--format", kind, "--count", "16", "--workers", "0", "--out", f"as-{kind}")
        done(capsys, "generate", "recipe.yaml", *SMALL, *given)
        names = names_in(kind, Path(f"as-{kind}"))
        assert pasted <= names <= set(WORDS), kind
