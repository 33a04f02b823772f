"""Pasting inside a training loop: batch 8, 512x512, 1 to 20 objects with masks each, one process, CPU.

Peers in the same run: segpaste (its collator's augmentation), and SimpleCopyPaste of torchvision's references, written
out here after references/detection/transforms.py (BSD-3-Clause) because torchvision does not install it. Rounds are
interleaved; the batch is the same; every row gives images, boxes, masks and labels.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import cv2
import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.ops import masks_to_boxes
from torchvision.transforms.v2 import functional

from terse.poses import AffinePoses
from terse.transforms import Paste

BATCH, SIDE, ROUNDS = 8, 512, 15


def main(threads: int) -> None:
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    images, targets = batch()
    rows: dict[str, Callable[[], Any]] = {
        "terse Paste, where they stood": lambda: Paste()(images, targets),
        "terse Paste, random poses": lambda: Paste(POSES)(images, targets),
        "torchvision references, SimpleCopyPaste": lambda: simple_copy_paste(images, targets),
        "segpaste": segpaste(images, targets),
    }
    spent: dict[str, list[float]] = {name: [] for name in rows}
    cpu: dict[str, list[float]] = {name: [] for name in rows}
    for round_ in range(-2, ROUNDS):
        for name, run in rows.items():
            torch.manual_seed(round_ + 2)
            wall, busy = time.perf_counter(), time.process_time()
            run()
            if round_ >= 0:
                spent[name].append((time.perf_counter() - wall) * 1e3)
                cpu[name].append((time.process_time() - busy) * 1e3)
    counts = [len(target["labels"]) for target in targets]
    print(f"batch {BATCH}, {SIDE}x{SIDE}, objects {counts}, {threads} thread(s), load {os.getloadavg()[0]:.1f}")
    print("| transform | ms a batch, median wall (least to most) | CPU ms |")
    print("| --- | --- | --- |")
    for name in rows:
        middle = statistics.median(spent[name])
        print(
            f"| {name} | {middle:.0f} ({min(spent[name]):.0f} to {max(spent[name]):.0f}) | {statistics.median(cpu[name]):.0f} |"
        )
    first, *others = (statistics.median(cpu[name]) for name in rows if "random" not in name)
    print(
        f"\nfastest peer over terse, by CPU: {min(others) / first:.1f} (bar: 2.0); under 85 ms: {statistics.median(spent['terse Paste, where they stood']):.0f}"
    )


POSES = AffinePoses((-30, 30), (-1, 1), (-0.1, 0.1), (0.1, 0.5), stretch=(0.9, 1.1), min_visible=0.5)


def batch() -> tuple[list[torch.Tensor], list[dict[str, Any]]]:
    """Ellipses of a tenth to a third of the image's side on noise."""
    random = np.random.default_rng(0)
    images, targets = [], []
    for count in random.integers(1, 21, BATCH):
        masks = np.zeros((count, SIDE, SIDE), np.uint8)
        for mask in masks:
            centre = random.integers(SIDE // 6, SIDE * 5 // 6, 2).tolist()
            cv2.ellipse(
                mask, centre, random.integers(SIDE // 20, SIDE // 6, 2).tolist(), random.uniform(0, 180), 0, 360, 1, -1
            )
        tensor = torch.from_numpy(masks).bool()
        images.append(tv_tensors.Image(torch.from_numpy(random.integers(0, 256, (3, SIDE, SIDE)).astype(np.uint8))))
        targets.append(
            {
                "boxes": tv_tensors.BoundingBoxes(
                    masks_to_boxes(tensor) + torch.tensor([0, 0, 1, 1]), format="XYXY", canvas_size=(SIDE, SIDE)
                ),
                "masks": tv_tensors.Mask(tensor),
                "labels": torch.from_numpy(random.integers(1, 80, count)),
                "area": tensor.flatten(1).sum(dim=1).float(),
                "iscrowd": torch.zeros(count, dtype=torch.int64),
            }
        )
    return images, targets


def simple_copy_paste(images: list[torch.Tensor], targets: list[dict[str, Any]]) -> list[Any]:
    """torchvision's reference: a random subset of the rolled batch's objects, softly blended on the whole canvas."""
    done = []
    for image, target, donor, given in zip(
        images, targets, images[-1:] + images[:-1], targets[-1:] + targets[:-1], strict=True
    ):
        chosen = torch.unique(torch.randint(0, len(given["masks"]), (len(given["masks"]),)))
        paste_masks, paste_labels = given["masks"][chosen], given["labels"][chosen]
        union = paste_masks.sum(dim=0) > 0
        soft = functional.gaussian_blur(union.unsqueeze(0).float(), kernel_size=[5, 5], sigma=[2.0])
        new = image * (1 - soft) + donor * soft
        masks = target["masks"] * (~union)
        keep = masks.sum((-1, -2)) > 0
        masks = masks[keep]
        boxes = torch.cat([masks_to_boxes(masks), given["boxes"][chosen]])
        out = dict(
            target,
            boxes=boxes,
            labels=torch.cat([target["labels"][keep], paste_labels]),
            masks=torch.cat([masks, paste_masks]),
        )
        out["area"] = torch.cat([target["area"][keep], given["area"][chosen]])
        out["iscrowd"] = torch.cat([target["iscrowd"][keep], given["iscrowd"][chosen]])
        large = (out["boxes"][:, 2:] - out["boxes"][:, :2] >= 1).all(dim=1)
        done.append((new, {key: value[large] for key, value in out.items()}))
    return done


def segpaste(images: list[torch.Tensor], targets: list[dict[str, Any]]) -> Callable[[], Any]:
    from segpaste import CopyPasteAugmentation, CopyPasteConfig, DetectionTarget

    augmentation = CopyPasteAugmentation(CopyPasteConfig(paste_probability=1.0, max_paste_objects=20))
    data = [
        DetectionTarget(
            image=i.as_subclass(torch.Tensor).float() / 255,
            boxes=t["boxes"].as_subclass(torch.Tensor),
            labels=t["labels"],
            masks=t["masks"].as_subclass(torch.Tensor),
        )
        for i, t in zip(images, targets, strict=True)
    ]

    def single(item: Any, k: int) -> Any:
        return DetectionTarget(
            image=item.image, boxes=item.boxes[k : k + 1], labels=item.labels[k : k + 1], masks=item.masks[k : k + 1]
        )

    sources = [[single(item, k) for k in range(len(item.labels))] for item in data]
    return lambda: [augmentation.transform(item, sources[k - 1]) for k, item in enumerate(data)]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
