"""Sets as other trainers take them: torchvision's is run, the others' documented rules read the files again.

The rules are those of detectron2 0.6 (`load_coco_json`), MMDetection 3.3 (`CocoDataset.parse_data_info`) and
Ultralytics 8.3 (`check_det_dataset`, `img2label_paths`, `verify_image_label`), written anew.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from ruamel.yaml import YAML
from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2
from torchvision.models.detection import maskrcnn_resnet50_fpn
from torchvision.transforms import v2

from drawn_sets import coco_of, recipe_of
from terse.generate import GenerateSettings, generate
from terse.recipe import Recipe

# pycocotools speaks to numpy 2 in the words of numpy 1.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SETTINGS = GenerateSettings(
    count=8, objects=(2, 3), max_overlap=1.0, min_visible=0.6, with_real=True, masks="polygon", side_px=96
)


@pytest.fixture(scope="module")
def recipe(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    real, back = coco_of(tmp_path_factory.mktemp("real") / "train", 6, (80, 60), 2, seed=9), world / "back"
    return recipe_of(world, f"backgrounds.coco={back / 'set.json'}", f"train.coco={real}", "val=0.5")


@pytest.fixture(scope="module")
def coco(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("coco") / "set"
    generate(recipe, SETTINGS, out, workers=0)
    data = json.loads((out / "annotations.json").read_text("utf-8"))
    assert Counter(item["iscrowd"] for item in data["annotations"])[1] > 0  # the set has objects to ignore
    return out


@pytest.mark.slow
def test_torchvision_trains(coco: Path) -> None:
    to_tensors = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    found = CocoDetection(str(coco / "images"), str(coco / "annotations.json"), transforms=to_tensors)
    data = wrap_dataset_for_transforms_v2(found, target_keys=("boxes", "labels", "masks", "iscrowd"))
    torch.manual_seed(0)
    model = maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=3, min_size=96, max_size=128, box_batch_size_per_image=16
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9)
    losses = []
    for step in range(3):
        images, targets = zip(*(data[k] for k in (2 * step, 2 * step + 1)), strict=True)
        kept = []
        for target in targets:
            judged = torch.tensor(target.pop("iscrowd")) == 0
            kept.append({name: value[judged] for name, value in target.items()})
        loss = sum(model(list(images), kept).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.isfinite(losses).all()
    val = CocoDetection(str(coco / "val" / "images"), str(coco / "val" / "annotations.json"), transforms=to_tensors)
    model.eval()
    with torch.no_grad():
        assert set(model([wrap_dataset_for_transforms_v2(val)[0][0]])[0]) == {"boxes", "labels", "scores", "masks"}


def read_as_detectron2(file: Path, images: Path) -> list[dict[str, Any]]:
    data = COCO(str(file))
    ids = {number: i for i, number in enumerate(sorted(data.getCatIds()))}
    assert len(set(data.anns)) == len(data.dataset["annotations"])
    records = []
    for number in sorted(data.imgs):
        record = {**data.imgs[number], "annotations": []}
        assert (images / record["file_name"]).is_file()
        for item in data.imgToAnns[number]:
            assert item["image_id"] == number
            assert item.get("ignore", 0) == 0, '"ignore" in COCO json file is not supported.'
            outline = item.get("segmentation")
            assert outline is not None
            if isinstance(outline, dict):
                assert item["iscrowd"]  # the mapper drops crowds; PolygonMasks takes lists alone
                continue
            assert all(len(part) % 2 == 0 and len(part) >= 6 for part in outline)
            record["annotations"].append({"label": ids[item["category_id"]], "bbox": item["bbox"]})
        records.append(record)
    return records


def test_detectron2_reads_polygons(coco: Path) -> None:
    train = read_as_detectron2(coco / "annotations.json", coco / "images")
    val = read_as_detectron2(coco / "val" / "annotations.json", coco / "val" / "images")
    assert (len(train), len(val)) == (11, 3)
    assert {item["label"] for record in train for item in record["annotations"]} == {0, 1}
    assert all(record["annotations"] for record in val)


def test_mmdetection_reads_boxes_and_masks(recipe: Recipe, coco: Path, tmp_path: Path) -> None:
    generate(recipe, SETTINGS.model_copy(update={"masks": "auto"}), tmp_path / "rle", workers=0)
    for out, ignored_twice in ((coco, False), (tmp_path / "rle", True)):
        data = COCO(str(out / "annotations.json"))
        ids = data.getCatIds(catNms=["ball", "Kästchen"])
        flags: Counter[int] = Counter()
        for item in data.dataset["annotations"]:
            if item.get("ignore", False):
                continue
            image, (x, y, width, height) = data.imgs[item["image_id"]], item["bbox"]
            assert min(image["width"], x + width) > max(0, x)
            assert min(image["height"], y + height) > max(0, y)
            assert item["area"] > 0
            assert min(width, height) >= 1
            assert item["category_id"] in ids
            assert item["segmentation"]
            flags[item["iscrowd"]] += 1
        assert flags[0] > 0
        assert (flags[1] == 0) == ignored_twice


def label_file(image: Path) -> Path:
    head, tail = str(image).rsplit("/images/", 1)
    return Path(f"{head}/labels/{tail}".rsplit(".", 1)[0] + ".txt")


def read_as_ultralytics(file: Path, split: str) -> list[np.ndarray]:
    reader = YAML(typ="safe", pure=True)
    reader.version = (1, 1)  # as PyYAML
    settings = reader.load(file.read_text("utf-8"))
    assert {"train", "val", "names"} <= set(settings)
    assert all(isinstance(name, str) for name in settings["names"].values())
    folder = file.parent / settings.get("path", "") / settings[split]
    found = []
    for image in sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png", ".webp")):
        lines = [line.split() for line in label_file(image).read_text("utf-8").splitlines() if line]
        if any(len(line) > 6 for line in lines):  # outlines
            labels = [int(line[0]) for line in lines]
            outlines = [np.array(line[1:], np.float32).reshape(-1, 2) for line in lines]
            boxes = [np.concatenate([part.min(axis=0), part.max(axis=0)]) for part in outlines]
            rows = np.column_stack([labels, np.array(boxes)])
        else:
            rows = np.array(lines, np.float32).reshape(-1, 5)
        assert rows[:, 1:].max(initial=0) <= 1
        assert rows.min(initial=0) >= 0
        assert rows[:, 0].max(initial=0) < len(settings["names"])
        found.append(rows)
    return found


@pytest.mark.parametrize("masks", ["auto", "box"])
def test_ultralytics_reads_train_and_val(masks: str, recipe: Recipe, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"format": "yolo", "masks": masks})
    generate(recipe, settings, tmp_path / "set", workers=0)
    train, val = (read_as_ultralytics(tmp_path / "set" / "data.yaml", split) for split in ("train", "val"))
    assert (len(train), len(val)) == (11, 3)
    assert all(len(rows) for rows in val)
