"""The sets, opened by tools that others wrote, and by our own sources: every box and mask is there."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import supervision
import webdataset
from PIL import Image
from pycocotools.coco import COCO
from torchvision.datasets import CocoDetection, VOCDetection, VOCSegmentation

from drawn_sets import files_of, recipe_of
from terse.generate import GenerateSettings, generate
from terse.recipe import Recipe
from terse.sources.coco import read_coco
from terse.sources.masks import draw_mask
from terse.sources.voc import read_voc
from terse.sources.yolo import read_yolo

# pycocotools speaks to numpy 2 in the words of numpy 1.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),  # webdataset leaves shards to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SETTINGS = GenerateSettings(count=8, objects=(1, 3), max_overlap=0.5, min_visible=0.0, blends=("alpha", "motion"))
Truth = dict[int, list[tuple[str, list[float], np.ndarray | None]]]


@pytest.fixture(scope="module")
def sets(labelled: Recipe, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One and the same set in every format."""
    root = tmp_path_factory.mktemp("sets")
    for kind in ("coco", "voc", "yolo", "webdataset"):
        generate(labelled, SETTINGS.model_copy(update={"format": kind}), root / kind, workers=0)
    boxes = SETTINGS.model_copy(update={"format": "yolo", "masks": "box"})
    generate(labelled, boxes, root / "boxes", workers=0)
    polygons = SETTINGS.model_copy(update={"masks": "polygon"})
    generate(labelled, polygons, root / "polygons", workers=0)
    return {path.name: path for path in root.iterdir()}


@pytest.fixture(scope="module")
def truth(sets: dict[str, Path]) -> Truth:
    """What pycocotools reads of the COCO set: class, xyxy, mask of every object by image."""
    coco = COCO(str(sets["coco"] / "annotations.json"))
    names = {item["id"]: item["name"] for item in coco.loadCats(coco.getCatIds())}
    found: Truth = {}
    for number in coco.getImgIds():
        found[number] = []
        for item in coco.loadAnns(coco.getAnnIds([number])):
            x, y, width, height = item["bbox"]
            mask = coco.annToMask(item) > 0
            found[number].append((names[item["category_id"]], [x, y, x + width, y + height], mask))
    assert sum(len(items) for items in found.values()) > 20
    return found


def box_of(mask: np.ndarray) -> list[float]:
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return [x, y, x + width, y + height]


def test_pycocotools_finds_boxes_tight_around_masks(truth: Truth) -> None:
    for items in truth.values():
        for _, box, mask in items:
            assert box == box_of(mask)


def test_polygons_are_the_same_masks(sets: dict[str, Path], truth: Truth) -> None:
    coco = COCO(str(sets["polygons"] / "annotations.json"))
    for number, items in truth.items():
        for item, (_, _, mask) in zip(coco.loadAnns(coco.getAnnIds([number])), items, strict=True):
            assert isinstance(item["segmentation"], list)
            assert (coco.annToMask(item) == mask).all()


def test_torchvision_reads_coco(sets: dict[str, Path], truth: Truth) -> None:
    data = CocoDetection(str(sets["coco"] / "images"), str(sets["coco"] / "annotations.json"))
    assert len(data) == len(truth)
    for k in range(len(data)):
        image, target = data[k]
        items = truth[data.ids[k]]
        assert image.size == (160, 120)
        assert [item["bbox"][:2] for item in target] == [box[:2] for _, box, _ in items]


def test_torchvision_reads_voc(sets: dict[str, Path], truth: Truth) -> None:
    detection = VOCDetection(str(sets["voc"]), year="2012", image_set="train")
    segmentation = VOCSegmentation(str(sets["voc"]), year="2012", image_set="train")
    assert len(detection) == len(segmentation) == len(truth)
    for k, items in enumerate(truth.values()):
        image, annotation = detection[k]
        assert image.size == (160, 120)
        listed = annotation["annotation"]["object"]
        assert [item["name"] for item in listed] == [name for name, _, _ in items]
        corners = [[float(item["bndbox"][key]) for key in ("xmin", "ymin", "xmax", "ymax")] for item in listed]
        assert corners == [[x0 + 1, y0 + 1, x1, y1] for _, (x0, y0, x1, y1), _ in items]
        painted = np.array(segmentation[k][1])
        assert ((painted > 0) == np.any([mask for _, _, mask in items], axis=0)).all()


def test_voc_instances_are_the_masks(sets: dict[str, Path], truth: Truth) -> None:
    root = sets["voc"] / "VOCdevkit" / "VOC2012"
    for number, items in truth.items():
        painted = np.array(Image.open(root / "SegmentationObject" / f"{number:08d}.png"))
        lone = sum(mask.astype(int) for _, _, mask in items) == 1  # where the background's own overlap, one wins
        for k, (_, _, mask) in enumerate(items, 1):
            assert (painted[lone] == k).tolist() == mask[lone].tolist()


def same_detections(found: supervision.Detections, items: list, classes: list[str], tolerance: float) -> None:
    assert [classes[k] for k in found.class_id] == [name for name, _, _ in items]
    np.testing.assert_allclose(found.xyxy, [box for _, box, _ in items], atol=tolerance)


def test_supervision_reads_coco_voc_and_yolo(sets: dict[str, Path], truth: Truth) -> None:
    coco = supervision.DetectionDataset.from_coco(
        str(sets["coco"] / "images"), str(sets["coco"] / "annotations.json"), force_masks=True
    )
    voc = supervision.DetectionDataset.from_pascal_voc(
        *(str(sets["voc"] / "VOCdevkit" / "VOC2012" / name) for name in ("JPEGImages", "Annotations"))
    )
    boxes = supervision.DetectionDataset.from_yolo(
        str(sets["boxes"] / "images"), str(sets["boxes"] / "labels"), str(sets["boxes"] / "data.yaml")
    )
    outlines = supervision.DetectionDataset.from_yolo(
        str(sets["yolo"] / "images"), str(sets["yolo"] / "labels"), str(sets["yolo"] / "data.yaml"), force_masks=True
    )
    for data in (coco, voc, boxes, outlines):
        assert len(data) == len(truth)
    by_name = {
        name: {Path(path).stem: data.annotations[path] for path in data.image_paths}
        for name, data in (("coco", coco), ("voc", voc), ("boxes", boxes), ("yolo", outlines))
    }
    for number, items in truth.items():
        stem = f"{number:08d}"
        same_detections(by_name["coco"][stem], items, coco.classes, 0)
        # supervision takes VOC's corners, which count from 1, for corners from 0 and moves them all by one.
        same_detections(by_name["voc"][stem], items, voc.classes, 1)
        same_detections(by_name["boxes"][stem], items, boxes.classes, 1e-3)
        same_detections(by_name["yolo"][stem], items, outlines.classes, 1e-3)
        assert (by_name["coco"][stem].mask == np.stack([mask for _, _, mask in items])).all()
        for drawn, (_, _, mask) in zip(by_name["yolo"][stem].mask, items, strict=True):
            rim = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))) - cv2.erode(mask.astype(np.uint8), np.ones((3, 3)))
            assert not (drawn ^ mask)[rim == 0].any()  # it fills the outline's own pixels as well


def test_webdataset_reads_shards(sets: dict[str, Path], truth: Truth) -> None:
    shards = sorted(str(path) for path in (sets["webdataset"] / "shards").iterdir())
    data = webdataset.WebDataset(shards, shardshuffle=False).decode("pil")
    samples = list(data)
    assert len(samples) == len(truth)
    for sample in samples:
        items = truth[int(sample["__key__"])]
        assert sample["jpg"].size == (160, 120)
        about = sample["json"]
        assert [item["category"] for item in about["objects"]] == [name for name, _, _ in items]
        assert [item["bbox"][:2] for item in about["objects"]] == [box[:2] for _, box, _ in items]


@pytest.mark.parametrize("kind", ["coco", "polygons", "voc", "yolo", "boxes"])
def test_generated_then_imported_is_equal(kind: str, sets: dict[str, Path], truth: Truth) -> None:
    out = sets[kind]
    if kind in ("coco", "polygons"):
        notes = read_coco(out / "annotations.json", out / "images")
    elif kind == "voc":
        notes = read_voc(out, ["VOCdevkit/VOC2012"], ["train"])
    else:
        notes = read_yolo(out)
    assert notes.skipped == ()
    assert len(notes) == len(truth)
    for image, path in enumerate(notes.paths):
        items = truth[int(Path(path).stem)]
        rows = notes.objects_of(image)
        assert [notes.classes[k] for k in notes.labels[rows]] == [name for name, _, _ in items]
        np.testing.assert_allclose(notes.boxes_px[rows], [box for _, box, _ in items], atol=1e-3)
        whole = sum(mask.astype(int) for _, _, mask in items) <= 1
        for row, (_, _, mask) in zip(rows, items, strict=True):
            if kind == "boxes":
                assert notes.masks[row] is None
                continue
            drawn = draw_mask(notes.masks[row], notes.root, (160, 120)) > 0
            wrong = (drawn ^ mask) & (whole if kind == "voc" else True)
            # YOLO's fractions have seven digits, and an outline on a pixel's edge may fall to either side.
            assert wrong.sum() <= (0.05 * mask.sum() + 4 if kind == "yolo" else 0)


def degenerate(root: Path) -> Recipe:
    """Squares that always land in the same place: of two, the lower is hidden wholly. Names are not ASCII."""
    for name in ("klein & süß", "groß"):
        (root / "cuts" / name).mkdir(parents=True)
        cv2.imwrite(str(root / "cuts" / name / "a.png"), np.full((60, 60, 4), 255, np.uint8))
    (root / "back").mkdir()
    cv2.imwrite(str(root / "back" / "größe.png"), np.zeros((100, 140, 3), np.uint8))
    from terse.recipe import load_recipe

    return load_recipe(
        "paste",
        [
            f"foregrounds.cutouts={root / 'cuts'}",
            f"backgrounds.images={root / 'back'}",
            "poses.rotation_deg=[0, 0]",
            "poses.shear=[0, 0]",
            "poses.stretch=[1, 1]",
            "poses.shift=[0, 0]",
            "poses.scale=[0.5, 0.5]",
        ],
    )


@pytest.mark.parametrize("kind", ["coco", "voc", "yolo", "webdataset"])
def test_degenerate_sets_keep_valid_files(kind: str, tmp_path: Path) -> None:
    recipe = degenerate(tmp_path)
    # Every paste lies in the middle with the same size: of two, the lower one is hidden; of none, nothing is there.
    settings = GenerateSettings(count=12, format=kind, objects=(0, 2), max_overlap=1.0, image="png")
    result = generate(recipe, settings, tmp_path / "out", workers=0)
    assert result["images"] == 12
    assert [item.partition(" ")[2] for item in result["skipped"]] == [
        "pasted objects: hidden wholly, they have no label"
    ]
    out, counts = tmp_path / "out", []
    if kind == "coco":
        coco = COCO(str(out / "annotations.json"))
        counts = [len(coco.getAnnIds([k])) for k in coco.getImgIds()]
        assert {item["name"] for item in coco.loadCats(coco.getCatIds())} == {"klein & süß", "groß"}
        assert all(min(item["bbox"][2:]) > 0 for item in coco.loadAnns(coco.getAnnIds()))
    elif kind == "voc":
        notes = read_voc(out, ["VOCdevkit/VOC2012"], ["train"])
        counts = [len(notes.objects_of(k)) for k in range(len(notes))]
        assert set(notes.classes) <= {"klein & süß", "groß"}
    elif kind == "yolo":
        data = supervision.DetectionDataset.from_yolo(str(out / "images"), str(out / "labels"), str(out / "data.yaml"))
        counts = [len(data.annotations[path]) for path in data.image_paths]
        assert set(data.classes) == {"klein & süß", "groß"}
    else:
        shards = [str(path) for path in (out / "shards").iterdir()]
        counts = [len(s["json"]["objects"]) for s in webdataset.WebDataset(shards, shardshuffle=False).decode()]
        assert set(json.loads((out / "classes.json").read_text("utf-8"))) == {"klein & süß", "groß"}
    assert set(counts) == {0, 1}


def test_two_classes_of_one_name_become_one(world: Path, tmp_path: Path) -> None:
    data: dict[str, Any] = json.loads((world / "fore" / "set.json").read_text("utf-8"))
    data["categories"][1]["name"] = "ball"
    file = tmp_path / "twice.json"
    file.write_text(json.dumps(data))
    recipe = recipe_of(world, f"foregrounds.coco={file}", f"backgrounds.images={world / 'back' / 'images'}")
    for kind in ("coco", "voc", "yolo", "webdataset"):
        result = generate(recipe, GenerateSettings(count=4, format=kind), tmp_path / kind, workers=0)
        assert result["per_class"] == {"ball": 4}
    coco = COCO(str(tmp_path / "coco" / "annotations.json"))
    assert [item["name"] for item in coco.loadCats(coco.getCatIds())] == ["ball"]


def test_ignored_objects_say_so_in_every_format(labelled: Recipe, tmp_path: Path) -> None:
    settings = GenerateSettings(count=6, objects=(3, 3), max_overlap=1.0, min_visible=0.7)
    for kind in ("coco", "voc", "yolo"):
        generate(labelled, settings.model_copy(update={"format": kind}), tmp_path / kind, workers=0)
    data = json.loads((tmp_path / "coco" / "annotations.json").read_text("utf-8"))
    below = [item["visible_fraction"] < 0.7 for item in data["annotations"]]
    assert any(below)
    assert [item.get("ignore", 0) for item in data["annotations"]] == [int(flag) for flag in below]
    assert [item["iscrowd"] for item in data["annotations"]] == [int(flag) for flag in below]
    notes = read_voc(tmp_path / "voc", ["VOCdevkit/VOC2012"], ["train"])
    assert notes.ignore.tolist() == below
    lines = sum(len(path.read_text().splitlines()) for path in (tmp_path / "yolo" / "labels").iterdir())
    assert lines == below.count(False)


def test_a_set_in_another_place_is_still_whole(sets: dict[str, Path], tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    sets["voc"].rename(moved)
    try:
        assert (moved / "VOCdevkit" / "VOC2012" / "JPEGImages" / "00000000.jpg").is_file()
        assert not any("VOC2012/JPEGImages" in name and not files_of(moved)[name] for name in files_of(moved))
    finally:
        moved.rename(sets["voc"])
