"""Training a detector on photographs: `python benchmarks/photograph_loops.py [--rounds N] [--threads N]`.

target phase: images/s of a run's own target phase over torchvision's reference loop (its references/detection: a
DataLoader with two workers, CocoDetection, transforms.v2, SGD) on the same network, files, batches and thread count, flips
in both. The bar is 0.95.

loader: the share of a step that waits for images, in an epoch that decodes every file for the first time and in the
synthesizer's phase; two decoding threads. The bar is under 0.10.

The photographs are drawn: 96 JPEG files of 640x480 with noise, which decode slower than real ones. Contestants take turns.
"""

import argparse
import contextlib
import dataclasses
import io
import json
import statistics
import tempfile
import time
from pathlib import Path

from terse.process import prepare_process

prepare_process()

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2
from torchvision.transforms import v2

from terse.recipe import load_recipe
from terse.run import open_session
from terse.targets.detector.networks import NETWORKS
from terse.training.phases import synthesizer_phase, target_phase

_IMAGES, _BATCH, _SIDE = 96, 16, 320
_SHARE, _WAITING = 0.95, 0.10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        draw(root)
        print(
            f"{given.threads} thread(s), {given.rounds} rounds, torch {torch.__version__}, batch {_BATCH} at {_SIDE} px"
        )
        reference_seconds(root, given.threads)
        ratios, waits = [], []
        for _ in range(given.rounds):
            reference = reference_seconds(root, given.threads)
            own, waited = phase_seconds(root, given.threads)
            ratios.append(reference / own)
            waits.append(waited / own)
            print(
                f"  reference {_IMAGES / reference:6.2f} images/s, terse {_IMAGES / own:6.2f}, waiting {waited / own:.3f}"
            )
        share, waiting = statistics.median(ratios), statistics.median(waits)
        print(f"target phase over the reference loop  {share:.2f}   bar {_SHARE}: {verdict(share >= _SHARE)}")
        print(f"waiting for images, target phase      {waiting:.3f}  bar {_WAITING}: {verdict(waiting < _WAITING)}")
        waiting = synthesizer_waiting(root, given.threads)
        print(f"waiting for images, synthesizer phase {waiting:.3f}  bar {_WAITING}: {verdict(waiting < _WAITING)}")


def verdict(met: bool) -> str:
    return "met" if met else "missed"


def draw(root: Path) -> None:
    """Photographs with one masked object each, as a COCO file to train on and one to validate on."""
    rng = np.random.default_rng(0)
    for name, numbers in (("train", range(_IMAGES)), ("val", range(_IMAGES, _IMAGES + 8))):
        (root / f"{name}.json").write_text(json.dumps(_photographs(root, numbers, rng)))


def _photographs(root: Path, numbers: range, rng: np.random.Generator) -> dict[str, object]:
    images, annotations = [], []
    for number in numbers:
        coarse = rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC)
        picture = cv2.add(picture, rng.integers(0, 24, picture.shape, dtype=np.uint8))
        x, y, w, h = (int(v) for v in rng.integers((20, 20, 80, 100), (300, 200, 240, 240)))
        cv2.ellipse(picture, (x + w // 2, y + h // 2), (w // 2, h // 2), 0, 0, 360, (30, 60, 200), -1)
        cv2.imwrite(str(root / f"{number}.jpg"), picture)
        images.append({"id": number + 1, "file_name": f"{number}.jpg", "width": 640, "height": 480})
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        outline = np.stack([x + w / 2 * (1 + np.cos(turn)), y + h / 2 * (1 + np.sin(turn))], axis=1)
        annotations.append(
            {"id": number + 1, "image_id": number + 1, "category_id": 1, "iscrowd": 0, "area": w * h * 0.78}
            | {"bbox": [x, y, w, h], "segmentation": [outline.ravel().round(1).tolist()]}
        )
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "ball"}]}


def reference_seconds(root: Path, threads: int) -> float:
    """An epoch as torchvision's references train it."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = NETWORKS["ssdlite_mobilenet_v2"].build(2, _SIDE, {}).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4)
    steps = [v2.ToImage(), v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True), v2.SanitizeBoundingBoxes()]
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = CocoDetection(str(root), str(root / "train.json"), transforms=v2.Compose(steps))
    dataset = wrap_dataset_for_transforms_v2(dataset, target_keys=("boxes", "labels"))
    loader = DataLoader(
        dataset, batch_size=_BATCH, shuffle=True, num_workers=2, collate_fn=lambda b: tuple(zip(*b, strict=True))
    )
    began = time.perf_counter()
    for images, targets in loader:
        loss = sum(network(list(images), list(targets)).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - began


class Waiting:
    """A bank that counts the seconds spent in `fetch`."""

    def __init__(self, bank: object) -> None:
        self.bank, self.seconds = bank, 0.0

    def __getattr__(self, name: str) -> object:
        return getattr(self.bank, name)

    def __len__(self) -> int:
        return len(self.bank)

    def prefetch(self, indices: np.ndarray) -> None:
        self.bank.prefetch(indices)

    def fetch(self, indices: np.ndarray) -> object:
        began = time.perf_counter()
        try:
            return self.bank.fetch(indices)
        finally:
            self.seconds += time.perf_counter() - began


def session_of(root: Path, threads: int, *more: str):
    source = "{{coco: {}/{}.json, images: {}}}".format
    return open_session(
        load_recipe(
            "detector",
            [
                *(f"{part}={source(root, 'train', root)}" for part in ("foregrounds", "train")),
                f"val={source(root, 'val', root)}",
                f"backgrounds={{images: {root}}}",
                "test=null",
                "cleanup=false",
                f"canvas_px={_SIDE}",
                "target={kind: ssdlite_mobilenet_v2}",
                "artefacts.count=0",
                "synthesis.backbone=mobilenet_v3_small",
                "synthesis.train_backbone=false",
                "synthesis.discriminator=false",
                "synthesis.input_px=160",
                "synthesis.branch_channels=32",
                f"runtime.threads={threads}",
                *more,
            ],
        ),
        None,
    )


def phase_seconds(root: Path, threads: int) -> tuple[float, float]:
    """The run's own phase over as many images, and how long of it waited for them."""
    session = session_of(root, threads)
    session.players.train = Waiting(session.players.train)
    settings = session.recipe.fine_tune.model_copy(update={"steps": _IMAGES // _BATCH})
    began = time.perf_counter()
    target_phase(session, 0, settings, "pretrain")
    return time.perf_counter() - began, session.players.train.seconds


def synthesizer_waiting(root: Path, threads: int) -> float:
    """Share of the synthesizer's phase."""
    session = session_of(root, threads, "synthesis.steps=8")
    players = session.players
    banks = {name: Waiting(getattr(players.materials, name)) for name in ("foregrounds", "backgrounds")}
    players.materials = players.proposer.materials = dataclasses.replace(players.materials, **banks)
    began = time.perf_counter()
    synthesizer_phase(session, 1)
    return sum(bank.seconds for bank in banks.values()) / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
