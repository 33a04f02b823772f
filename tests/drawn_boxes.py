"""Photographs with objects that have boxes only: red blobs on green noise, and a COCO, or a VOC folder around them."""

import json

import cv2
import numpy as np
from PIL import Image

SIZE_PX = (120, 90)


def blob(centre, radii, size_px=SIZE_PX):
    """The true mask of an object."""
    across, down = np.meshgrid(np.arange(size_px[0]) + 0.5, np.arange(size_px[1]) + 0.5)
    return ((across - centre[0]) / radii[0]) ** 2 + ((down - centre[1]) / radii[1]) ** 2 <= 1


def picture(masks, seed=0, size_px=SIZE_PX):
    """RGB pixels: red where a mask is, else green, both of coarse noise."""
    rng = np.random.default_rng(seed)
    noise = cv2.resize(rng.uniform(-30, 30, (12, 16, 3)).astype(np.float32), size_px, interpolation=cv2.INTER_CUBIC)
    inside = np.any(masks, axis=0)[..., None]
    return np.clip(np.where(inside, (190, 60, 50), (70, 140, 80)) + noise, 0, 255).astype(np.uint8)


def box_of(mask):
    """Half-open xyxy."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def coco(root, count=20, seed=0, **parts):
    """A COCO file of boxes alone, one blob an image, and its images in `images`; returns the file and the true masks."""
    rng = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True, exist_ok=True)
    data = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "blob"}, {"id": 2, "name": "drop"}]}
    truths = []
    for i in range(count):
        mask = blob(rng.uniform((45, 35), (75, 55)), rng.uniform((14, 14), (26, 24)))
        Image.fromarray(picture([mask], seed + i)).save(root / "images" / f"{i:02}.png")
        x0, y0, x1, y1 = box_of(mask)
        data["images"].append({"id": i, "file_name": f"{i:02}.png", "width": SIZE_PX[0], "height": SIZE_PX[1]})
        box = [x0, y0, x1 - x0, y1 - y0]
        data["annotations"].append({"id": i, "image_id": i, "category_id": 1 + i % 2, "bbox": box, "iscrowd": 0})
        truths.append(mask)
    file = root / "boxes.json"
    file.write_text(json.dumps({**data, **parts}))
    return file, truths


def voc(root, blobs, seed=0):
    """A VOC folder of one image: `blobs` are (class, number in SegmentationClass, mask, box)."""
    for folder in ("Annotations", "JPEGImages", "SegmentationClass"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    masks = [mask for _, _, mask, _ in blobs]
    Image.fromarray(picture(masks, seed)).save(root / "JPEGImages/a.jpg", quality=95)
    values = np.zeros(masks[0].shape, np.uint8)
    for _, number, mask, _ in blobs:
        values[mask] = number
    Image.fromarray(values).save(root / "SegmentationClass/a.png")
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x0 + 1:g}</xmin><ymin>{y0 + 1:g}</ymin><xmax>{x1:g}</xmax>"
        f"<ymax>{y1:g}</ymax></bndbox></object>"
        for name, _, _, (x0, y0, x1, y1) in blobs
    )
    size = f"<size><width>{SIZE_PX[0]}</width><height>{SIZE_PX[1]}</height><depth>3</depth></size>"
    (root / "Annotations/a.xml").write_text(f"<annotation><filename>a.jpg</filename>{size}{objects}</annotation>")
    return root
