"""Give the loop a detector that is none of the kinds it knows: an object with five methods around `stranger.py`.

    uv run python examples/own_detector.py

On the command line: `terse train shapes target="{kind: user, factory: own_detector:make}" --trust` in this folder. The loop
asks for `evidence` (what the detector says of each pasted object, with its gradient), `confidence`, `predict` and
`train_loss`; nothing has to be inherited.
"""

import torch
from stranger import STRIDE, CentreNet, decode, loss
from torch import nn

import terse
from terse.modes import eval_mode, frozen
from terse.targets.overlaps import Predictions, best_scores
from terse.types import Evidence

MOST = 50  # detections an image


class OwnDetector:
    """A CentreNet as the loop sees it: images in [0, 1], boxes in pixels."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.calibrated = False  # sigmoid scores: hardness by quantile

    def evidence(self, images: torch.Tensor, truth: terse.Truth) -> Evidence:
        with eval_mode(self.module), frozen(self.module):
            maps = self.module(255 * images)
        rows = (truth.pasted & ~truth.ignore).nonzero().flatten()
        boxes, image = truth.boxes_px[rows], truth.image_index[rows]
        x0, y0, x1, y1 = boxes.unbind(1)
        height, width = maps["heat"].shape[-2:]
        column = ((x0 + x1) / 2 / STRIDE).long().clamp(0, width - 1)
        row = ((y0 + y1) / 2 / STRIDE).long().clamp(0, height - 1)
        x, y = (place * STRIDE + STRIDE / 2 for place in (column, row))
        wanted = torch.stack([x - x0, y - y0, x1 - x, y1 - y], dim=1).clamp(min=0) / 16
        return Evidence.of_logits(
            maps["heat"][image, :, row, column],  # of the cell that holds the centre
            truth.labels[rows],
            truth,
            rows,
            sigmoid=True,
            box_error=(maps["side"][image, :, row, column] - wanted).abs().sum(1),
        )

    def train_loss(self, images: torch.Tensor, truth: terse.Truth) -> torch.Tensor:
        self.module.train()
        kept = [(truth.image_index == k) & ~truth.ignore for k in range(len(images))]
        boxes, labels = ([values[mine] for mine in kept] for values in (truth.boxes_px, truth.labels))
        return loss(self.module(255 * images), boxes, labels)

    @torch.no_grad()
    def confidence(self, images: torch.Tensor, truth: terse.Truth) -> torch.Tensor:
        with eval_mode(self.module):
            boxes, scores = decode(self.module(255 * images))
        return best_scores(map(Predictions, boxes[:, :, None], scores), truth, range(scores.shape[-1]), images)

    @torch.no_grad()
    def predict(self, images: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        with eval_mode(self.module):
            boxes, scores = decode(self.module(255 * images))
        answers = []
        for box, score in zip(boxes, scores, strict=True):
            best, flat = score.flatten().topk(MOST)
            cell, label = flat // score.shape[1], flat % score.shape[1]
            answers.append({"boxes": box[cell], "labels": label, "scores": best})
        return answers


def make(classes: int = 3) -> OwnDetector:
    return OwnDetector(CentreNet(classes))


SETTINGS = (
    "data={kind: shapes, train: 300, val: 60, test: 150, gap: 0.5}",
    (
        "pretrain={epochs: 16, batch_size: 16, augment: true, "
        "optimizer: {name: adam, lr: 2e-3, weight_decay: 0, schedule: one_cycle}}"
    ),
    "fine_tune={epochs: 6, batch_size: 16, augment: true, optimizer: {name: adam, lr: 1e-3, weight_decay: 0}}",
    "pool={per_cycle: 150, candidates: 600}",
    "synthesis.discriminator=false",
    "hardness={kind: quantile}",
)


def main(*overrides: str) -> dict:
    torch.manual_seed(0)
    result = terse.train("shapes", [*SETTINGS, "synthesis.steps=20", "cycles=3", *overrides], target=make())
    print(f"start {result['metrics']['start']['ap50']:.2f}, end {result['metrics']['end']['ap50']:.2f}")
    return result


if __name__ == "__main__":
    main()
