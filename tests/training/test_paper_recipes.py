"""The recipes of the paper's photographs, from end to end on drawn miniatures of their layouts, with random weights."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models
from torchvision.models import detection

from terse.recipe import load_recipe
from terse.run import train
from terse.sources.voc import VOC_CLASSES

pytestmark = pytest.mark.slow
SHORT = (
    "cycles=1", "synthesis.steps=1", "synthesis.batch_size=2", "synthesis.statistics_pairs=4", "pool.per_cycle=2",
    "pool.candidates=8", "fine_tune.epochs=1", "fine_tune.batch_size=4", "fine_tune.steps=2", "runtime.workers=0",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _few_samples(monkeypatch):
    """The start is told how hard random composites are by a handful instead of 256."""
    monkeypatch.setattr("terse.training.cycle._SAMPLE", 4)
    monkeypatch.setattr("terse.training.cycle._CHUNK", 4)


def xml(name, size, objects):
    parts = "".join(
        f"<object><name>{kind}</name><truncated>{int(i == 1)}</truncated><difficult>0</difficult><bndbox>"
        + "".join(f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
        + "</bndbox></object>"
        for i, (kind, box) in enumerate(objects)
    )
    return (
        f"<annotation><filename>{name}</filename><size><width>{size[0]}</width><height>{size[1]}</height></size>"
        f"{parts}</annotation>"
    )


def picture(path, seed, size=(64, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).save(path)


def voc_year(root, split, seed):
    values = np.zeros((48, 64), dtype=np.uint8)
    values[5:25, 10:30] = 1
    names = [f"{seed:03}{i}" for i in range(5)]
    for name in names:
        picture(root / "JPEGImages" / f"{name}.jpg", seed)
        for folder in ("Annotations", "SegmentationObject", "ImageSets/Main"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        objects = [("person", (11, 6, 30, 25)), ("dog", (40, 20, 60, 40))]
        (root / "Annotations" / f"{name}.xml").write_text(xml(f"{name}.jpg", (64, 48), objects))
        Image.fromarray(values).save(root / "SegmentationObject" / f"{name}.png")
    (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(names))


@pytest.mark.parametrize("alternation", ["phase", "batch"])
def test_vocs_people(tmp_path, monkeypatch, alternation):
    monkeypatch.setenv("VOC", str(tmp_path))
    monkeypatch.setenv("COCO", str(tmp_path / "coco"))
    for year, split, seed in (("VOC2007", "trainval", 1), ("VOC2012", "trainval", 2), ("VOC2007", "test", 3)):
        voc_year(tmp_path / year, split, seed)
    cars = [{"id": 1, "name": "person"}, {"id": 5, "name": "airplane"}, {"id": 6, "name": "motorcycle"}]
    cars += [{"id": i, "name": name} for i, name in enumerate(("couch", "dining table", "potted plant", "tv"), 10)]
    listed = []
    for i in range(3):
        picture(tmp_path / "coco" / "train2017" / f"{i}.jpg", 50 + i)
        listed.append({"id": i, "file_name": f"{i}.jpg", "width": 64, "height": 48})
    (tmp_path / "coco" / "annotations").mkdir()
    boxes = [{"id": 1, "image_id": 0, "category_id": 5, "bbox": [5, 5, 20, 20], "iscrowd": 0}]
    index = {"images": listed, "annotations": boxes, "categories": cars}
    (tmp_path / "coco" / "annotations" / "instances_train2017.json").write_text(json.dumps(index))
    torch.manual_seed(0)
    ssd = detection.ssd300_vgg16(weights=None, weights_backbone=None, num_classes=21)
    torch.save(ssd.state_dict(), tmp_path / "ssd300_voc.pth")
    torch.save(models.vgg16_bn(weights=None, num_classes=1).features.state_dict(), tmp_path / "vgg16_bn.pth")
    recipe = load_recipe("voc-person", [*SHORT, f"alternation={alternation}", "hardness.below=1.0", "cleanup=false"])
    result = train(recipe, out=tmp_path / "run")
    assert result["primary"] == "voc07_ap"
    assert result["cycles"][0]["samples"] == 2
    end = result["metrics"]["end"]
    assert {"voc07_ap50", "voc07_ap60", "voc07_ap70", "voc07_ap80"} <= end.keys()
    assert list(end["by_class"]) == list(VOC_CLASSES)
    assert {name for name, one in end["by_class"].items() if one["objects"]} == {"person"}
    from terse.report.run_page import run_page

    headings = [table.heading for table in run_page(tmp_path / "run").tables]
    assert "The paper's Table 4 and ours" in headings


def test_the_kitchen(tmp_path, monkeypatch):
    monkeypatch.setenv("TERSE_DATA", str(tmp_path))
    for scene in range(1, 10):
        folder = tmp_path / "gmu" / f"gmu_scene_{scene:03d}"
        (folder / "Annotations").mkdir(parents=True)
        for frame in (1, 2):
            picture(folder / "Images" / f"rgb_{frame}.png", 10 * scene + frame, (160, 90))
            objects = [("red_bull", (11, 6, 70, 65)), ("hunts_sauce", (80, 20, 130, 80))]
            (folder / "Annotations" / f"rgb_{frame}.xml").write_text(xml(f"rgb_{frame}.png", (160, 90), objects))
    for name in ("red_bull", "hunts_sauce"):
        mask = np.ones((48, 64), dtype=bool)
        mask[8:40, 10:50] = False
        for view in ("NP1_0", "NP3_90"):
            picture(tmp_path / "bigbird" / name / f"{view}.jpg", len(view))
            Image.fromarray(mask).save(tmp_path / "bigbird" / name / f"{view}.pbm")
    for i in (1, 2, 3):
        picture(tmp_path / "uw_scenes" / "background" / "background_1" / f"background_1_{i}.png", 300 + i)
        picture(tmp_path / "uw_scenes" / "background" / "background_1" / f"background_1_{i}_depth.png", 400 + i)
    (tmp_path / "weights").mkdir()
    torch.save(models.resnet50(weights=None).state_dict(), tmp_path / "weights" / "resnet50.pth")
    torch.save(
        models.vgg16_bn(weights=None, num_classes=1).features.state_dict(), tmp_path / "weights" / "vgg16_bn.pth"
    )
    recipe = load_recipe("gmu", [*SHORT, "canvas_px=128", "pretrain.epochs=1", "hardness.below=1.0", "cleanup=false"])
    result = train(recipe, out=tmp_path / "run")
    assert result["cycles"][0]["samples"] == 2
    assert {name: one["objects"] for name, one in result["metrics"]["end"]["by_class"].items()} == {
        "hunts_sauce": 6, "red_bull": 6,
    }  # fmt: skip
    from terse.report.run_page import run_page

    table = next(t for t in run_page(tmp_path / "run").tables if t.heading == "The paper's Table 3 and ours")
    ours = [row for row in table.rows if row[1] == "here"]
    assert [bool(row[5]) for row in ours] == [True, True]  # hunt's sauce, at the start and at the end
