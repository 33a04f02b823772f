"""Images that bear their number, and models whose answer to each number is written down."""

import torch

from terse.types import Truth


class Images:
    """Grey images whose first pixel is their number."""

    def __init__(self, truths):
        self.truths = truths

    def __len__(self):
        return len(self.truths)

    def fetch(self, indices):
        images = torch.stack([torch.full((3, 16, 16), float(i) / 255) for i in indices])
        return images, Truth.join([self.truths[int(i)] for i in indices])


class Says:
    """A model that says what it is told to, by the number in the image."""

    def __init__(self, answers):
        self.answers = answers

    def predict(self, images):
        numbers = (images[:, 0, 0, 0] * 255).round().long().tolist()
        said = [self.answers[n] for n in numbers]
        return torch.stack(said) if isinstance(said[0], torch.Tensor) else said

    def confidence(self, images, truth):
        raise AssertionError("nobody asks")


def truth(label, *boxes):
    n = len(boxes) or 1
    no = torch.zeros(n, dtype=torch.bool)
    box = torch.tensor(boxes, dtype=torch.float32) if boxes else torch.zeros(1, 4)
    return Truth(torch.full((n,), label), box, torch.zeros(n, dtype=torch.int64), no, no, 1)
