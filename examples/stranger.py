"""A detector of somebody else's in one file: nothing here knows terse. Shapes by a map of centres, as CenterNet's.

It has its own ways: images in 0 to 255, a dictionary of maps, a loss over lists of boxes, its own trainer. Two examples
use it: `own_detector.py` gives it to the loop, `black_box.py` shows the loop its exported file alone.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

STRIDE = 4


class CentreNet(nn.Module):
    """For each cell of a coarse map: is a centre of each class here, and how far reaches its box to the four sides."""

    def __init__(self, classes: int, width: int = 24) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, stride in (
            (3, width, 2),
            (width, width, 2),
            (width, 2 * width, 2),
            (2 * width, 2 * width, 1),
        ):
            layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.down = nn.Sequential(*layers[:6])
        self.deep = nn.Sequential(*layers[6:], nn.Conv2d(2 * width, 2 * width, 3, 1, 2, dilation=2), nn.ReLU())
        self.join = nn.Sequential(nn.Conv2d(3 * width, 2 * width, 3, 1, 1), nn.ReLU())
        self.heat = nn.Conv2d(2 * width, classes, 1)
        self.side = nn.Conv2d(2 * width, 4, 1)
        nn.init.constant_(self.heat.bias, -3.0)

    def forward(self, bytes_like: torch.Tensor) -> dict[str, torch.Tensor]:
        """Maps `heat` (b, classes, h / 4, w / 4), logits, and `side` (b, 4, h / 4, w / 4), in units of 16 pixels."""
        fine = self.down(bytes_like / 127.5 - 1)
        coarse = functional.interpolate(self.deep(fine), scale_factor=2.0)
        both = self.join(torch.cat([fine, coarse], dim=1))
        return {"heat": self.heat(both), "side": functional.softplus(self.side(both))}


def decode(maps: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes (b, n, 4) in pixels and the scores (b, n, classes) of every cell that is the peak of its neighbours."""
    heat = maps["heat"].sigmoid()
    peak = heat * (heat == functional.max_pool2d(heat, 3, 1, 1))
    y, x = (torch.arange(size) * STRIDE + STRIDE / 2 for size in heat.shape[-2:])
    left, top, right, bottom = (16 * maps["side"]).unbind(1)
    boxes = torch.stack([x - left, y[:, None] - top, x + right, y[:, None] + bottom], dim=-1)
    return boxes.flatten(1, 2), peak.flatten(2).transpose(1, 2)


def loss(maps: dict[str, torch.Tensor], boxes: list[torch.Tensor], labels: list[torch.Tensor]) -> torch.Tensor:
    """Focal loss of the centres, L1 of the sides, as CenterNet has them."""
    heat, side = maps["heat"], maps["side"]
    wanted, weight, sides = torch.zeros_like(heat), torch.zeros_like(side[:, :1]), torch.zeros_like(side)
    rows, columns = (torch.arange(size, device=heat.device) * STRIDE + STRIDE / 2 for size in heat.shape[-2:])
    for image, (own, classes) in enumerate(zip(boxes, labels, strict=True)):
        for (x0, y0, x1, y1), label in zip(own.tolist(), classes.tolist(), strict=True):
            x, y = (x0 + x1) / 2, (y0 + y1) / 2
            wide, high = max(x1 - x0, STRIDE), max(y1 - y0, STRIDE)  # a narrower bump misses every cell
            spread = (((columns - x) / wide) ** 2 + (((rows - y) / high) ** 2)[:, None]) / (2 * 0.15**2)
            bump = torch.exp(-spread)
            wanted[image, label] = torch.maximum(wanted[image, label], bump / bump.max())
            near = bump > 0.5 * bump.max()
            weight[image, 0][near] = 1.0
            far = torch.stack(
                torch.broadcast_tensors(columns - x0, (rows - y0)[:, None], x1 - columns, (y1 - rows)[:, None])
            )
            sides[image][:, near] = far[:, near].clamp(min=0) / 16
    p = heat.sigmoid().clamp(1e-4, 1 - 1e-4)
    centre = wanted > 0.99
    focal = torch.where(centre, -((1 - p) ** 2) * p.log(), -((1 - wanted) ** 4) * p**2 * (1 - p).log())
    return focal.sum() / max(1, int(centre.sum())) + ((side - sides).abs() * weight).sum() / weight.sum().clamp(min=1)


class CocoFolder:
    """A COCO set: `annotations.json` beside its images, all of one size."""

    def __init__(self, folder: Path, annotations: str = "annotations.json") -> None:
        told = json.loads((folder / annotations).read_text("utf-8"))
        self.names = [one["name"] for one in told["categories"]]
        numbers = {one["id"]: k for k, one in enumerate(told["categories"])}
        found: dict[int, list[tuple[list[float], int]]] = {one["id"]: [] for one in told["images"]}
        for one in told["annotations"]:
            x, y, w, h = one["bbox"]
            found[one["image_id"]].append(([x, y, x + w, y + h], numbers[one["category_id"]]))
        self.items = [(folder / "images" / one["file_name"], found[one["id"]]) for one in told["images"]]

    def batch(self, rows: list[int]) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """Images in 0 to 255, boxes and labels."""
        images = [cv2.cvtColor(cv2.imread(str(self.items[row][0])), cv2.COLOR_BGR2RGB) for row in rows]
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
        boxes = [torch.tensor([box for box, _ in self.items[row][1]]).reshape(-1, 4) for row in rows]
        return pixels, boxes, [torch.tensor([label for _, label in self.items[row][1]]).long() for row in rows]


def train(model: CentreNet, sets: list[CocoFolder], steps: int, lr: float = 2e-3, seed: int = 0) -> None:
    """Their own trainer: half of each batch from each of the sets."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    model.train()
    for _ in range(steps):
        parts = []
        for one in sets:
            rows = torch.randint(len(one.items), (16 // len(sets),), generator=generator)
            parts.append(one.batch(rows.tolist()))
        images = torch.cat([part[0] for part in parts])
        boxes, labels = ([item for part in parts for item in part[k]] for k in (1, 2))
        if torch.rand((), generator=generator) < 0.5:
            images = images.flip(-1)
            width = images.shape[-1]
            boxes = [torch.stack([width - b[:, 2], b[:, 1], width - b[:, 0], b[:, 3]], dim=1) for b in boxes]
        optimizer.zero_grad()
        loss(model(images), boxes, labels).backward()
        optimizer.step()
        rate.step()


class _Exported(nn.Module):
    def __init__(self, model: CentreNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return decode(self.model(images))


def export(model: CentreNet, file: Path, size_px: int) -> None:
    """An ONNX file: images in 0 to 255 to `boxes` and `scores`."""
    torch.onnx.export(
        _Exported(model).eval(),
        (torch.zeros(2, 3, size_px, size_px),),
        str(file),
        input_names=["images"],
        output_names=["boxes", "scores"],
        dynamic_shapes=({0: torch.export.Dim("images", min=1)},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
