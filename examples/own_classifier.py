"""Give the loop a classifier of your own, with images and masks that exist only in memory.

    uv run python examples/own_classifier.py

Two classes of drawn strokes, horizontal and vertical, are pasted on grey noise. The classifier is plain PyTorch; terse
needs no change to it. Foregrounds, backgrounds and real images are anything with the methods of `terse.protocols`.
"""

import numpy as np
import torch
from torch import nn

import terse
from terse.compositing import support_points
from terse.recipe import Recipe, load_recipe

SIZE_PX = 40


class Strokes:
    """Foregrounds: a white bar each, on a transparent patch."""

    classes = ("horizontal", "vertical")

    def __init__(self, count: int) -> None:
        rng = np.random.default_rng(0)
        self.labels = np.arange(count, dtype=np.int64) % 2
        self.keys = [f"stroke:{i}" for i in range(count)]
        alpha = torch.zeros(count, 1, SIZE_PX, SIZE_PX)
        for i, label in enumerate(self.labels):
            length, width = rng.integers(14, 24), rng.integers(2, 5)
            height, across = (width, length) if label == 0 else (length, width)
            top, left = (SIZE_PX - height) // 2, (SIZE_PX - across) // 2
            alpha[i, 0, top : top + height, left : left + across] = 1
        self.alpha, self.hull = alpha, support_points(alpha)

    def __len__(self) -> int:
        return len(self.labels)

    def fetch(self, indices: np.ndarray) -> terse.Foregrounds:
        rows = torch.from_numpy(indices)
        return terse.Foregrounds(
            torch.ones(len(rows), 1, 1, 1),
            self.alpha[rows],
            torch.from_numpy(self.labels)[rows],
            self.hull[rows],
        )


class Noise:
    """Backgrounds: grey noise."""

    def __init__(self, count: int) -> None:
        self.keys = [f"noise:{i}" for i in range(count)]
        self.images = 0.4 * torch.rand(count, 1, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(1))

    def __len__(self) -> int:
        return len(self.keys)

    def fetch(self, indices: np.ndarray) -> terse.Backgrounds:
        return terse.Backgrounds(self.images[torch.from_numpy(indices)], terse.Truth.empty(len(indices)))


class Pictures:
    """Real images: strokes in the middle to train on, strokes anywhere to be judged by."""

    def __init__(
        self,
        strokes: Strokes,
        noise: Noise,
        count: int,
        play: float,
        turn_deg: float,
        seed: int,
    ) -> None:
        rng = np.random.default_rng(seed)
        cut = strokes.fetch(rng.integers(0, len(strokes), count))
        below = noise.fetch(rng.integers(0, len(noise), count))
        poses = terse.AffinePoses((-turn_deg, turn_deg), (-play, play), (0.0, 0.0), (0.6, 1.0))
        drawn = poses.random(count, torch.Generator().manual_seed(seed))
        matrix = poses.matrix(drawn, cut.hull, (SIZE_PX, SIZE_PX))
        self.images = terse.compose(below.images, cut.images, cut.alpha, matrix).images
        self.labels = cut.labels

    def __len__(self) -> int:
        return len(self.labels)

    def fetch(self, indices: np.ndarray) -> tuple[torch.Tensor, terse.Truth]:
        rows = torch.from_numpy(indices)
        return self.images[rows], terse.Truth.of_images(self.labels[rows])


def make(width: int = 16) -> nn.Module:
    """A classifier as you may have it: `target: {kind: user, factory: own_classifier:make}` finds it."""
    return nn.Sequential(
        nn.Conv2d(1, width, 5, stride=2),
        nn.ReLU(),
        nn.Conv2d(width, width, 5, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(width * 7 * 7, len(Strokes.classes)),
    )


def main() -> None:
    strokes, noise = Strokes(200), Noise(20)
    data = terse.RunData(
        foregrounds=strokes,
        backgrounds=noise,
        train=Pictures(strokes, noise, 400, play=0.0, turn_deg=0, seed=2),
        val=Pictures(strokes, noise, 200, play=1.0, turn_deg=30, seed=3),
        test=Pictures(strokes, noise, 400, play=1.0, turn_deg=30, seed=4),
        classes=Strokes.classes,
    )
    recipe: Recipe = load_recipe(
        "quickstart",
        [
            "cycles=3",
            "poses={rotation_deg: [-30, 30], shear: [0, 0], scale: [0.6, 1.0]}",
            "target={kind: user, factory: own_classifier:make}",
            "pool.per_cycle=300",
        ],
    )
    result = terse.train(recipe, data=data, trust=True)
    print(f"start {result['metrics']['start']['accuracy']:.2f}, end {result['metrics']['end']['accuracy']:.2f}")


if __name__ == "__main__":
    main()
