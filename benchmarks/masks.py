"""Masks from boxes against true masks: `terse masks`' GrabCut beside a filled box and an inscribed ellipse.

`python benchmarks/masks.py --data DIR --measured FILE` with the folders `person` and `coco80` in DIR; objects whose box's
longer side is under 32 px are left out, as cleanup leaves them out. The measures of each object are written into FILE, and
read from it where they are there, so that a benchmark that was cut short goes on. The weights of `terse.masks.score` are
fitted on coco80 and tested on person, and the other way round. Quality does not depend on the machine.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.optimize import lsq_linear

from terse.masks.grabcut import GrabCut
from terse.masks.score import Scores, expected_iou, measure, shifted
from terse.sources.coco import read_coco
from terse.sources.decode import read_rgb
from terse.sources.masks import draw_mask

FILES = {"person": "person/train.json", "coco80": "coco80/instances.json"}
LEAST_SIDE_PX = 32
DROPPED = 0.2
GOOD = 0.8
NAMES = ("solidity", "coverage", "contrast", "agreement")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--measured", type=Path, required=True)
    parser.add_argument("--most", type=int, default=0, help="objects of each set, evenly spread; 0 is all")
    parser.add_argument("--only", choices=list(FILES))
    args = parser.parse_args()
    cv2.setNumThreads(1)
    for name in [args.only] if args.only else FILES:
        file = args.measured.with_suffix(f".{name}.jsonl")
        done = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
        with file.open("a") as out:
            for row in measured(name, args.data, args.most, len(done)):
                out.write(json.dumps(row) + "\n")
                out.flush()
    if args.only:
        return
    rows = {name: [json.loads(line) for line in args.measured.with_suffix(f".{name}.jsonl").open()] for name in FILES}
    weights = {name: fit(some) for name, some in rows.items()}
    for name, some in weights.items():
        print(f"fitted on {name}:", dict(zip(("intercept", *NAMES), some.round(2).tolist(), strict=True)))
    print("\n| data | masks | mean IoU | IoU > 0.8 |\n| --- | --- | --- | --- |")
    built_in = np.array([expected_iou(Scores(**{**row["scores"], "border": 1.0})) for row in rows["person"]])
    table("person", rows["person"], built_in, "coco80 (built in)")
    table("coco80", rows["coco80"], features(rows["coco80"]) @ weights["person"], "person")


def measured(name: str, data: Path, most: int, done: int) -> Any:
    """IoU of each way with the true mask, and the measures, object by object."""
    file = data / FILES[name]
    annotations = read_coco(file, file.parent / "images")
    sides = (annotations.boxes_px[:, 2:] - annotations.boxes_px[:, :2]).max(axis=1)
    rows = np.flatnonzero(annotations.usable & (sides >= LEAST_SIDE_PX))
    if most and most < len(rows):
        rows = rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]
    engine = GrabCut()
    for row in rows.tolist()[done:]:
        image = int(annotations.image_index[row])
        size = tuple(annotations.sizes_px[image].tolist())
        true = draw_mask(annotations.masks[row], annotations.root, size) > 127
        pixels = read_rgb(annotations.root / annotations.paths[image], annotations.paths[image], size)
        box = tuple(annotations.boxes_px[row].tolist())
        mask, second = engine.cut(pixels, [box])[0], engine.cut(pixels, [shifted(box)])[0]
        scores = measure(pixels, mask, second, box).to_json()
        del scores["border"]  # of GrabCut it is 1: its masks end at the box
        ways = {"GrabCut": mask, "filled box": filled(box, true.shape), "ellipse": ellipse(box, true.shape)}
        yield {"image": image, "iou": {way: iou(drawn, true) for way, drawn in ways.items()}, "scores": scores}


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.count_nonzero(one & other) / max(np.count_nonzero(one | other), 1))


def filled(box: tuple[float, ...], shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    x0, y0, x1, y1 = map(round, box)
    mask[y0:y1, x0:x1] = True
    return mask


def ellipse(box: tuple[float, ...], shape: tuple[int, ...]) -> np.ndarray:
    x0, y0, x1, y1 = box
    across = (np.arange(shape[1]) + 0.5 - (x0 + x1) / 2) / ((x1 - x0) / 2)
    down = (np.arange(shape[0]) + 0.5 - (y0 + y1) / 2) / ((y1 - y0) / 2)
    return across**2 + down[:, None] ** 2 <= 1


def fit(rows: list[dict[str, Any]]) -> np.ndarray:
    """Intercept and weights, none of them below 0, by least squares on the IoU with true masks."""
    bounds = [-1.0, *[0.0] * len(NAMES)], [1.0] * (1 + len(NAMES))
    return lsq_linear(features(rows), values(rows), bounds).x


def features(rows: list[dict[str, Any]]) -> np.ndarray:
    return np.array([[1.0, *(row["scores"][name] for name in NAMES)] for row in rows])


def values(rows: list[dict[str, Any]]) -> np.ndarray:
    return np.array([row["iou"]["GrabCut"] for row in rows])


def table(title: str, rows: list[dict[str, Any]], score: np.ndarray, fitted_on: str) -> None:
    for way in ("filled box", "ellipse", "GrabCut"):
        line(title, way, np.array([row["iou"][way] for row in rows]))
    kept = np.argsort(score, kind="stable")[round(DROPPED * len(rows)) :]
    line(title, f"GrabCut without the worst scored fifth, score fitted on {fitted_on}", values(rows)[kept])


def line(title: str, way: str, values: np.ndarray) -> None:
    print(f"| {title} | {way} ({len(values):,}) | {values.mean():.3f} | {(values > GOOD).mean():.3f} |")


if __name__ == "__main__":
    main()
