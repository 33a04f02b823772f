"""From data to a recipe that fits them: read, count, choose, write."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from terse.errors import TerseError
from terse.folders import write_atomically
from terse.init.draft import draft
from terse.init.survey import Survey, choose_classes, expect_masks, measured_scales, survey
from terse.init.target import TargetChoice, choose_classifier, choose_target, others_that_fit
from terse.progress import Observer, heard_by
from terse.recipe import load_recipe
from terse.recipe_files import builtin_recipes
from terse.sources.annotations import Annotations
from terse.sources.coco import category_ids
from terse.sources.guess import read_data
from terse.sources.losses import left_to_paste
from terse.sources.run_data import VAL_FRACTION, hold_out
from terse.yaml_text import read_yaml

__all__ = ["FirstLook", "make_recipe"]

_PATHS = ("coco", "images", "voc", "yolo", "labelme", "via", "cvat", "cutouts", "class_folders")
_THREADS = 2


@dataclass(frozen=True, slots=True)
class FirstLook:
    """What a first look saw and chose."""

    out: Path  # the recipe
    gpu: str | None  # its name
    classes: tuple[str, ...]  # that are pasted
    choice: TargetChoice
    parts: Mapping[str, Survey]
    lost: Mapping[str, str]  # classes of which nothing is left to paste, and why
    others: Mapping[str, str]  # other targets for which the real images are annotated, and why

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        choice = self.choice
        return {
            "out": str(self.out),
            "gpu": self.gpu,
            "classes": list(self.classes),
            "lost": dict(self.lost),
            "target": {"kind": choice.kind, "weights": choice.found, "told": choice.told},
            "others": dict(self.others),
            "sources": {name: asdict(seen) for name, seen in self.parts.items()},
        }


def make_recipe(
    sources: Mapping[str, dict[str, Any]],
    out: Path,
    *,
    target: str | None = None,
    weights: Path | None = None,
    wanted: Sequence[str] = (),
    observer: Observer | None = None,
) -> FirstLook:
    """Look at the sources and write the recipe.

    Args:
        sources: foregrounds, backgrounds and train in the recipe's words, paths as seen from the working directory.
        out: the file to write.
        target: a built-in detector's name, or of torchvision's classifiers where train is folders of classes; None takes
            the one that fits the machine.
        weights: its file.
        wanted: classes to paste; none takes all of which the run will have something to paste.
        observer: hears how far the look at the masks is.

    Raises:
        TerseError: data, classes or weights that cannot be used.
    """
    observer = heard_by(observer)
    pasted, train = sources["foregrounds"], sources["train"]
    real = read_data(train)
    cut_from = real if pasted == train else read_data(pasted)
    val, judges = _val(train, real)
    seen = {"train": survey(real), "foregrounds": survey(cut_from)}
    seen["backgrounds"] = survey(read_data(sources["backgrounds"]))
    where, command = str(next(iter(pasted.values()))), _masks_command(pasted)
    expect_masks(seen["foregrounds"], where, command)
    left = left_to_paste(cut_from, [judges], cleanup=True, workers=_THREADS, observer=observer)
    classes = choose_classes(seen["foregrounds"], left, seen["train"], wanted, where)
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    ids = category_ids(Path(train["coco"])) if "coco" in train else {}
    whole = "class_folders" in train
    choice = (
        choose_classifier(target, weights, classes)
        if whole
        else choose_target(target, weights, classes, ids, gpu=gpu is not None)
    )
    written = {part: _seen_from(out, source) for part, source in sources.items()}
    written["foregrounds"]["classes"] = list(classes)
    held = [name for name, amount in judges.count_classes().items() if amount]
    # Of a very small set, val may hold none of what is pasted: the task then knows what val holds, too.
    task_classes = None if set(held) & set(classes) else [*classes, *held]
    if "coco" in sources["backgrounds"]:
        written["backgrounds"]["without"] = [name for name in classes if name in seen["backgrounds"].objects]
    text = draft(
        out.stem,
        {**written, "val": val if isinstance(val, float) else {**written["train"], **val}},
        choice,
        None if weights is None else _path_from(out, str(weights)),
        gpu=gpu is not None,
        small=read_yaml(builtin_recipes()["coco-person-small"], "small"),
        scale=None if whole else measured_scales(real, classes),
        classes=task_classes,
    )
    write_atomically(out, text.encode())
    load_recipe(out)  # what was written can be read: a slip here is ours
    order = ("foregrounds", "backgrounds", "train")
    lost = {name: left.losses.why(name) for name in left.losses.lost}
    counted = sum(seen["train"].objects.values()), sum(seen["train"].masks.values())
    points = 0 if real.keypoints is None else real.keypoints.shape[1]
    others = others_that_fit(choice.task, counted[1], counted[0], points)
    return FirstLook(out, gpu, classes, choice, {name: seen[name] for name in order}, lost, others)


def _val(train: Mapping[str, Any], real: Annotations) -> tuple[float | dict[str, str], Annotations]:
    """What the recipe says of val beside train's words, and the images that it holds out.

    The data set's own split, where it has one that the recipe can name and that leaves something to train on; else a
    fraction of train.
    """
    if "yolo" in train:
        try:
            own = read_data({**train, "split": "val"})
        except TerseError:
            pass
        else:
            if len(own) and len(real.without_images_of(own)):
                return {"split": "val"}, own
    return VAL_FRACTION, hold_out(real, {"val": VAL_FRACTION})["val"]


def _masks_command(source: Mapping[str, Any]) -> str:
    """What makes masks for a source of boxes, as the user types it."""
    photographs = ["--images", str(source["images"])] if "coco" in source else []
    return shlex.join(["terse", "masks", str(next(iter(source.values()))), *photographs, "--out", "masks.json"])


def _seen_from(out: Path, source: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _path_from(out, value) if key in _PATHS else value for key, value in source.items()}


def _path_from(out: Path, path: str) -> str:
    """Relative paths start at the recipe's folder, not at the working directory; absolute ones stay."""
    if Path(path).expanduser().is_absolute():
        return path
    return Path(os.path.relpath(path, out.resolve().parent)).as_posix()
