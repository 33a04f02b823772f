"""The recipe's `data: {kind: digits}`: MNIST to paste and to train on, affNIST to be judged by (paper 4.1)."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from terse.config import Component, Count, InputPath, NonNegative
from terse.registry import register

if TYPE_CHECKING:
    from terse.sources.run_data import RunData

__all__ = ["DigitsConfig"]


@register("data", "digits")
class DigitsConfig(Component["RunData"]):
    """MNIST digits, and an affNIST-like test set made from them."""

    kind: Literal["digits"] = "digits"
    root: InputPath | None = None
    """Folder with MNIST's four idx files, plain or .gz; None takes the digits that come with terse."""
    download: bool = False
    """Let torchvision fetch MNIST into `root` first."""
    affnist: InputPath | None = None
    """An official affNIST batch (`test.mat`) to test on, or a folder of them; None regenerates the like from MNIST's test
    digits."""
    affnist_train: InputPath | None = None
    """An official batch of affNIST's training images, or a folder of them: they are what is pasted, each as it is, where
    the poses leave it so. The red curve of Fig. 7 is the arm
    `affnist:synthesis.kind=random:data.affnist_train=F:poses={rotation_deg: [0, 0], shear: [0, 0], scale: [1, 1]}`."""
    train: Count = 55_000
    """Digits to train on and to paste, from the start of MNIST's training file (paper: 55,000)."""
    val: Count = 5_000
    """Digits held out to choose the best cycle, from the end of MNIST's training file (paper: 5,000)."""
    test: Count = 10_000
    """Digits of the test set, from the start of MNIST's test file or of affNIST's batch (paper: 10,000)."""
    seed: NonNegative = 7
    """Of the regenerated sets' poses: fixed, so that every run is judged by the same images."""

    def build(self) -> RunData:
        """Banks and splits, all in memory as bytes."""
        import numpy as np
        import torch

        from terse.errors import RecipeError
        from terse.sources.digits.banks import (
            BlackBackgrounds,
            DigitForegrounds,
            LabelledImages,
            affnist_like,
            read_affnist_batches,
            read_digits,
        )
        from terse.sources.run_data import RunData

        root = self._root()
        train_images, train_labels = read_digits(root, "train")
        test_images, test_labels = read_digits(root, "t10k")
        asked = [("data.train + data.val", self.train + self.val, len(train_images))]
        if self.affnist is None:
            asked.append(("data.test", self.test, len(test_images)))
        for name, wanted, there in asked:
            if wanted > there:  # more would be held out of what is trained on
                raise RecipeError(
                    f"{name}: expected at most {there:,} digits, got {wanted:,}; {root} has no more, "
                    "give data.root=FOLDER with MNIST's files, or data.root=FOLDER data.download=true"
                )

        def digits(images: Any, labels: Any, name: str) -> DigitForegrounds:
            return DigitForegrounds(torch.from_numpy(images.copy()), labels.astype(np.int64), name)

        train = slice(0, self.train)
        held = slice(len(train_images) - self.val, len(train_images))
        held_digits = digits(train_images[held], train_labels[held], "val")
        if self.affnist is not None:
            images, labels = read_affnist_batches(self.affnist, self.test)
            test = LabelledImages(torch.from_numpy(images), labels.astype(np.int64))
        else:
            chosen = digits(test_images[: self.test], test_labels[: self.test], "t10k")
            test = LabelledImages(affnist_like(chosen, self.seed), chosen.labels)
        real = digits(train_images[train], train_labels[train], "train")
        foregrounds = real
        if self.affnist_train is not None:
            images, labels = read_affnist_batches(self.affnist_train, self.train)
            foregrounds = DigitForegrounds(torch.from_numpy(images), labels.astype(np.int64), "affnist", whole=True)
        return RunData(
            foregrounds=foregrounds,
            backgrounds=BlackBackgrounds(),
            train=LabelledImages(torch.from_numpy(train_images[train].copy()), real.labels),
            val=LabelledImages(affnist_like(held_digits, self.seed + 1), held_digits.labels),
            test=test,
            classes=foregrounds.classes,
        )

    def _root(self) -> Path:
        if self.root is None:
            return Path(str(resources.files("terse.sources") / "package_digits"))
        if self.download:
            from torchvision.datasets import MNIST

            MNIST(str(self.root), download=True)
        return self.root
