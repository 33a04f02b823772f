"""Two rounds with a trainer outside: the loop sees an ONNX file alone, and writes sets of what it fails.

    uv run --extra onnx python examples/black_box.py    # or pip install "terse-synth[onnx]" onnx onnxscript

`stranger.py` holds a detector and its trainer, which know nothing of terse. They learn from their own images; terse
measures the file, mines composites that it fails, and writes them as COCO; they learn from both, export again, and so on.
The same on the command line: `terse train recipe.yaml`, then `terse generate RUN --target new.onnx --cycle 2 --out SET`.
"""

import json
import tempfile
from pathlib import Path

import cv2
import numpy as np
import stranger
import torch

import terse
from terse.black_box import go_on
from terse.generate import render
from terse.sources.shapes.scenes import CLASSES, EASY, SceneImages, Scenes

SIDE_PX, IMAGES = 96, 300


def own_images(folder: Path) -> stranger.CocoFolder:
    """What the stranger has: large, upright shapes, annotated by hand."""
    pixels, truth = SceneImages(Scenes("theirs", IMAGES, SIDE_PX, EASY, 1)).fetch(np.arange(IMAGES))
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for k, image in enumerate(pixels):
        array = (255 * image).permute(1, 2, 0).round().to(torch.uint8).numpy()
        cv2.imwrite(str(folder / "images" / f"{k}.png"), cv2.cvtColor(array, cv2.COLOR_RGB2BGR))
        images.append({"id": k, "file_name": f"{k}.png"})
    for (x0, y0, x1, y1), label, image in zip(
        truth.boxes_px.tolist(), truth.labels.tolist(), truth.image_index.tolist(), strict=True
    ):
        annotations.append({"image_id": image, "category_id": label, "bbox": [x0, y0, x1 - x0, y1 - y0]})
    categories = [{"id": k, "name": name} for k, name in enumerate(CLASSES)]
    told = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(told))
    return stranger.CocoFolder(folder)


def main(work: Path | None = None, steps: int = 320, cycles: int = 2, seed: int = 0) -> list[float]:
    work = Path(tempfile.mkdtemp()) if work is None else work
    torch.manual_seed(seed)
    model, own, run = stranger.CentreNet(len(CLASSES)), own_images(work / "own"), work / "run"
    stranger.train(model, [own], steps, seed=seed)
    stranger.export(model, work / "0.onnx", SIDE_PX)
    recipe = (
        "data={kind: shapes, gap: 0.5, val: 60, test: 150}",
        (
            f"target={{kind: onnx, weights: {work / '0.onnx'}, std: [0.003922, 0.003922, 0.003922], "
            "outputs: {boxes: boxes, scores: scores}}"
        ),
        "synthesis={kind: mined}",
        "hardness={kind: quantile}",
        "pool={per_cycle: 250, candidates: 2000}",
        "pretrain=null",
        "artefacts.count=0",
        f"seed={seed}",
    )
    terse.train("shapes", recipe, out=run)
    measured = None
    for cycle in range(1, cycles + 1):
        render(run / "pool", work / f"set-{cycle}", workers=0, image="png")
        stranger.train(model, [own, stranger.CocoFolder(work / f"set-{cycle}")], steps, lr=1e-3, seed=seed + cycle)
        stranger.export(model, work / f"{cycle}.onnx", SIDE_PX)
        measured = go_on(run, cycle + 1, str(work / f"{cycle}.onnx"))
    assert measured is not None
    figures = [float(row.figure("ap50") or 0.0) for row in (measured.metrics.start, *measured.cycles)]
    print("AP50 " + " -> ".join(f"{figure:.2f}" for figure in figures) + f", page: terse report {run}")
    return figures


if __name__ == "__main__":
    main()
