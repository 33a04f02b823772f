"""What the how-tos of other tools show runs as it is written, on drawn data."""

import json
import re
import shlex
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torchvision import tv_tensors

import terse
from commands import run
from terse.data import CompositeDataset
from terse.generate import GenerateSettings, generate
from terse.recipe import load_recipe
from terse.sources.coco import read_coco
from terse.sources.masks import draw_mask
from terse.transforms import Paste

PAGES = Path(__file__).parents[1] / "docs" / "how-to"


def blocks(page, kind="python"):
    return re.findall(rf"```{kind}\n(.*?)```", (PAGES / f"{page}.md").read_text("utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def paste(tmp_path_factory):
    """Overrides of the recipe `paste`: cut-outs of two classes and backgrounds."""
    root = tmp_path_factory.mktemp("world")
    random = np.random.default_rng(0)
    for name in ("disc", "square"):
        (root / "cuts" / name).mkdir(parents=True)
        alpha = np.zeros((40, 40), np.uint8)
        if name == "disc":
            cv2.circle(alpha, (20, 20), 18, 255, -1)
        else:
            alpha[4:36, 4:36] = 255
        cut = np.dstack([random.integers(0, 256, (40, 40, 3)).astype(np.uint8), alpha])
        cv2.imwrite(str(root / "cuts" / name / "a.png"), cut)
    (root / "back").mkdir()
    for k in range(3):
        cv2.imwrite(str(root / "back" / f"{k}.png"), random.integers(0, 256, (120, 160, 3)).astype(np.uint8))
    return [f"foregrounds.cutouts={root / 'cuts'}", f"backgrounds.images={root / 'back'}"]


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def drawn_set(paste, out, **settings):
    generate(load_recipe("paste", paste), GenerateSettings(count=10, **settings), out, workers=0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # supervision's own
def test_a_set_goes_through_supervision_and_back(paste, work, capsys):
    drawn_set(paste, work / "set", image="png", objects=(1, 2), max_overlap=0.0)
    scope = {}
    exec("".join(blocks("supervision")), scope)
    assert (scope["drawn"] != scope["image"]).any()
    before = read_coco(work / "set" / "annotations.json", work / "set" / "images")
    wanted = {}
    for k, image in enumerate(before.image_index.tolist()):
        wanted.setdefault(before.paths[image], []).append(k)
    seen = 0
    for name in ("train", "val"):
        after = read_coco(work / "edited" / f"{name}.json", work / "edited" / "images")
        assert after.classes == before.classes
        for k, image in enumerate(after.image_index.tolist()):
            rows = wanted[after.paths[image]]
            box = after.boxes_px[k]
            (row,) = [row for row in rows if np.abs(before.boxes_px[row] - box).max() <= 1]
            assert after.labels[k] == before.labels[row]
            ours, theirs = (
                draw_mask(one.masks[number], one.root, (160, 120)) > 0 for one, number in ((before, row), (after, k))
            )
            inside = cv2.erode(ours.astype(np.uint8), np.ones((3, 3)), borderType=cv2.BORDER_CONSTANT, borderValue=0)
            rim = cv2.dilate(ours.astype(np.uint8), np.ones((3, 3))) - inside
            assert not (ours ^ theirs)[rim == 0].any()
            seen += 1
    assert seen == len(before.labels)
    (work / "rooms").mkdir()
    for k in range(3):
        cv2.imwrite(str(work / "rooms" / f"{k}.png"), np.full((120, 160, 3), 40 * k, np.uint8))
    check, init = blocks("supervision", "bash")[1].splitlines()
    assert run(capsys, *shlex.split(check)[1:])[0] == 0
    assert run(capsys, *shlex.split(init)[1:])[0] == 0
    assert set(load_recipe("mine.yaml").foregrounds.classes) == set(before.classes)


@pytest.mark.filterwarnings("ignore")  # of the library's own imports
def test_a_set_goes_to_hugging_faces_datasets(paste, work, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(work / "home"))
    pytest.importorskip("datasets", reason="no loader: the package datasets is missing")
    drawn_set(paste, work / "set", format="imagefolder", objects=(2, 2))
    scope = {}
    exec("".join(blocks("huggingface-datasets")), scope)
    assert scope["names"] == ["disc", "square"]
    told = scope["annotations"](scope["row"])
    assert [one["bbox"] for one in told["annotations"]] == scope["row"]["objects"]["bbox"]
    assert scope["row"]["image"].size == (160, 120)


def test_paste_in_a_torchvision_pipeline_and_behind_dictionaries(paste):
    data = CompositeDataset("paste", paste, length=8, objects=(1, 2))
    torch.manual_seed(0)
    scope = {"data": data}
    exec(blocks("paste-in-a-pipeline")[0], scope)
    images, targets = scope["images"], scope["targets"]
    assert len(images) == len(targets) == 4
    for image, target in zip(images, targets, strict=True):
        assert isinstance(image, tv_tensors.Image)
        assert image.dtype == torch.float32
        assert target["masks"].shape == (len(target["labels"]), *image.shape[-2:])
        for mask, box in zip(target["masks"], target["boxes"].tolist(), strict=True):
            rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
            found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert np.abs(np.array(box) - np.array([int(edge) for edge in found])).max() <= 1.5
    assert sum(len(target["labels"]) for target in targets) > sum(len(data[k][1]["labels"]) for k in range(4))


def arrays(data):
    """Rows as albumentations takes them."""
    for image, target in (data[k] for k in range(len(data))):
        yield {
            "image": image.permute(1, 2, 0).numpy(),
            "masks": [mask.numpy().astype(np.uint8) for mask in target["masks"]],
            "bboxes": target["boxes"].numpy(),
            "labels": target["labels"].numpy(),
        }


def flipped(image, masks, bboxes, labels):
    """A pipeline in albumentations' style: keywords in, a dictionary out."""
    width = image.shape[1]
    turned = np.stack([width - bboxes[:, 2], bboxes[:, 1], width - bboxes[:, 0], bboxes[:, 3]], axis=1)
    return {"image": image[:, ::-1], "masks": [mask[:, ::-1] for mask in masks], "bboxes": turned, "labels": labels}


def theirs():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = pytest.importorskip("albumentations", reason="albumentations is missing: it is in the group bench")
    return library.Compose(
        [library.HorizontalFlip(p=1)], bbox_params=library.BboxParams("pascal_voc", label_fields=["labels"])
    )


@pytest.mark.parametrize("make", [lambda: flipped, theirs], ids=["drawn", "albumentations"])
def test_paste_behind_a_pipeline_of_arrays(paste, make):
    """The pipeline flips; what is pasted in place is the flipped donor's object."""
    data = CompositeDataset("paste", paste, length=4, objects=(1, 1))
    scope = {"torch": torch, "tv_tensors": tv_tensors, "Paste": Paste, "pipeline": make()}
    exec(blocks("paste-in-a-pipeline")[1], scope)
    rows = list(arrays(data))
    scope["paste"].blur_sigma_px = 0
    images, targets = scope["collate_arrays"](rows)
    for k, (image, target) in enumerate(zip(images, targets, strict=True)):
        donor = rows[k - 1]
        mask = torch.from_numpy(donor["masks"][0][:, ::-1].copy()).bool()
        wanted = torch.from_numpy(donor["image"][:, ::-1].copy()).permute(2, 0, 1)
        assert torch.equal(image[:, mask], wanted[:, mask])
        assert target["labels"].tolist()[-1] == int(donor["labels"][0])
        assert torch.equal(target["masks"][-1].bool(), mask)


def test_an_observer_of_ones_own_hears_each_cycle(monkeypatch, capsys, small):
    def few(recipe, train=terse.train, **given):
        return train(recipe, small, **given)

    monkeypatch.setattr(terse, "train", few)
    (code,) = blocks("tracking")
    exec(code, {})
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["0", "1", "2"]
    assert json.loads(said[-1].split()[1]) >= 0
