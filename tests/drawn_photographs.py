"""Drawn photographs with a COCO file around them: blotches, and on them discs that are the objects."""

import json

import cv2
import numpy as np
from PIL import Image

SIZE_PX = (160, 120)


def photograph(seed):
    """Soft blotches, as of a real picture out of focus."""
    rng = np.random.default_rng(seed)
    blotches = rng.uniform(0, 255, (9, 12, 3)).astype(np.float32)
    return np.clip(cv2.resize(blotches, SIZE_PX, interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def disc(centre, radius):
    """A polygon of a disc, and its box as COCO has it."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    points = np.stack([centre[0] + radius * np.cos(angles), centre[1] + radius * np.sin(angles)], axis=1)
    low, high = points.min(axis=0), points.max(axis=0)
    return [points.ravel().round(2).tolist()], [*low.round(2).tolist(), *(high - low).round(2).tolist()]


class Drawn:
    """A folder of drawn data; every method returns what it wrote."""

    def __init__(self, root):
        self.root = root

    def picture(self, folder, name, seed, **options):
        path = self.root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph(seed)).save(path, **options)
        return path

    def coco(self, name="train", count=6, seed=0, masks=True, category=None, change=None):
        """Images of one disc each, classes by turns."""
        categories = category or [{"id": 1, "name": "ball"}]
        data = {"images": [], "annotations": [], "categories": categories}
        for i in range(count):
            file = f"{name}-{i:02}.png"
            self.picture(f"{name}-images", file, seed + i)
            data["images"].append({"id": i, "file_name": file, "width": SIZE_PX[0], "height": SIZE_PX[1]})
            polygons, box = disc((60 + 4 * i, 60), 30)
            one = {"id": i, "image_id": i, "category_id": categories[i % len(categories)]["id"], "bbox": box}
            data["annotations"].append({**one, "iscrowd": 0, **({"segmentation": polygons} if masks else {})})
        if change is not None:
            change(data)
        file = self.root / f"{name}.json"
        file.write_text(json.dumps(data))
        return file

    def backgrounds(self, count=5, seed=500):
        for i in range(count):
            self.picture("backgrounds", f"b{i}.png", seed + i)
        return self.root / "backgrounds"

    def recipe(self, text="", *, target="{kind: ssdlite_mobilenet_v2, image_size_px: 64}"):
        """A recipe of train, val and backgrounds, made where they are not there yet."""
        if not (self.root / "train.json").exists():
            self.coco()
        if not (self.root / "val.json").exists():
            self.coco("val", seed=100)
        if not (self.root / "backgrounds").exists():
            self.backgrounds()
        lines = {
            "foregrounds": "{coco: train.json, images: train-images}",
            "backgrounds": "{images: backgrounds}",
            "train": "{coco: train.json, images: train-images}",
            "val": "{coco: val.json, images: val-images}",
            "target": target,
            "synthesis": "{kind: mined}",
            "pretrain": "{epochs: 1}",
        }
        given = {line.partition(":")[0] for line in text.splitlines()}
        written = "base: detector\ncanvas_px: 64\n" + "".join(f"{k}: {v}\n" for k, v in lines.items() if k not in given)
        path = self.root / "recipe.yaml"
        path.write_text(written + text)
        return path
