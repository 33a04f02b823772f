"""A detector that costs nothing, for tests of what stands around a detector."""

import torch


class OneBox:
    """A detector in its smallest form: one box, and a score for each of three classes."""

    def __init__(self):
        self.module = torch.nn.Module()
        self.module.net = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 5, stride=4),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(4),
            torch.nn.Flatten(),
        )
        self.module.box = torch.nn.Linear(128, 4)
        self.module.score = torch.nn.Linear(128, 3)

    def _seen(self, images):
        flat = self.module.net(images)
        centre, size = self.module.box(flat).sigmoid().split(2, dim=1)
        return torch.cat([centre - size / 2, centre + size / 2], dim=1) * images.shape[-1], self.module.score(flat)

    def train_loss(self, images, truth):
        boxes, scores = self._seen(images)
        of = truth.image_index
        far = (boxes[of] - truth.boxes_px).abs().mean() / images.shape[-1]
        return far + torch.nn.functional.cross_entropy(scores[of], truth.labels)

    def attack_loss(self, images, truth):
        return self._seen(images)[1].logsumexp(dim=1)

    @torch.no_grad()
    def confidence(self, images, truth):
        return self._seen(images)[1].softmax(dim=1)[truth.image_index, truth.labels][truth.pasted]

    @torch.no_grad()
    def predict(self, images):
        boxes, scores = self._seen(images)
        label = torch.arange(3)
        return [
            {"boxes": box.expand(3, 4), "labels": label, "scores": row}
            for box, row in zip(boxes, scores.softmax(dim=1), strict=True)
        ]
