"""Which target `terse init` takes, what its weights file turns out to hold, and which others fit the annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terse.errors import DataError, RecipeError, TerseError
from terse.registry import kinds, nearest
from terse.targets.detector.config import columns_of_classes
from terse.targets.detector.networks import NETWORKS as DETECTORS
from terse.targets.detector.networks import build_with_weights
from terse.targets.named_outputs import numbers_by_name
from terse.targets.segmentation.networks import NETWORKS as SEGMENTERS

__all__ = ["TargetChoice", "choose_classifier", "choose_target", "others_that_fit"]

NETWORKS = {**DETECTORS, **SEGMENTERS}

_ON_GPU, _ON_CPU = "ssd300_vgg16", "ssdlite_mobilenet_v2"
_FROM_NOTHING = "ssd_small"
_RATES = {
    "ssd300_vgg16": 0.002,
    _FROM_NOTHING: 0.03,
    "ssdlite_mobilenet_v2": 0.03,
    "ssdlite320_mobilenet_v3_large": 0.03,
}
_CLASSIFIED_PX = 128
_RATE = 0.01  # of torchvision's references, brought to batches of 16, as are the ones above


@dataclass(frozen=True, slots=True)
class TargetChoice:
    """A network and what is known of its weights."""

    kind: str
    found: str  # nothing, backbone, or what a file of the whole holds
    canvas_px: int
    softmax: bool
    labels: dict[str, int] | None  # where the detector's are not the classes counted from 1
    lr: float  # of the training that a start without such weights needs
    model: str | None = None  # a library's own name of the network, where the kind has many

    @property
    def from_nothing(self) -> bool:
        """Whether it is the small detector, which learns quickly without weights."""
        return self.kind == _FROM_NOTHING and self.found == "nothing"

    @property
    def told(self) -> str:
        """What was found, in a sentence."""
        name = self.model or self.kind
        if self.from_nothing:
            return f"{name} without weights: a small detector that is trained from nothing first"
        small = f", or --target {_FROM_NOTHING}, which learns quickly" if self.task == "detection" else ""
        whole = f"{name}, whose weights file holds a whole {self.found}: it is improved as it is"
        return {
            "nothing": f"{name} without weights: it is trained from nothing first, which takes long; give --weights{small}",
            "backbone": f"{name}, whose weights file holds a backbone: the {self.noun} is trained on train first",
        }.get(self.found, whole)

    @property
    def noun(self) -> str:
        """What a sentence calls it."""
        return "classifier" if self.task == "classification" else "detector"

    @property
    def task(self) -> str:
        """The task that it is a target of."""
        found: str = kinds("target")[self.kind].task
        return found


def choose_target(
    name: str | None, weights: Path | None, classes: Sequence[str], ids: Mapping[str, int], *, gpu: bool
) -> TargetChoice:
    """The named detector, or the one that fits the machine.

    Args:
        name: of a built-in detector.
        weights: a file that is opened for tensors only.
        classes: the task's.
        ids: the number that the data's file gives each of its classes.
        gpu: whether there is one.

    Raises:
        RecipeError: no such detector.
        DataError: weights that are missing, unsafe, or another model's.
    """
    kind = name or (_ON_GPU if gpu else _ON_CPU)
    if kind not in NETWORKS:
        raise RecipeError(
            f"--target: expected one of {', '.join(NETWORKS)}, got {kind!r}{nearest(kind, NETWORKS)}"
            + ("; write a detector of your own into the recipe by hand" if kind in kinds("target") else "")
        )
    network = NETWORKS[kind]
    size = kinds("target")[kind].model_fields.get("image_size_px")
    canvas_px = (size.default if size is not None else None) or 300
    found, labels = "nothing", None
    if weights is not None:
        try:
            _, outputs, found = build_with_weights(network, weights, len(classes) + 1, canvas_px)
        except DataError as error:
            raise DataError(
                str(error).replace("target.weights", "--weights").replace("target.kind", "--target")
            ) from None
        labels = _labels(classes, outputs, ids, softmax=network.softmax)
    return TargetChoice(kind, found, canvas_px, network.softmax, labels, _RATES.get(kind, _RATE))


def choose_classifier(name: str | None, weights: Path | None, classes: Sequence[str]) -> TargetChoice:
    """The named classifier of torchvision, or a small one: for images of one thing each, which have a class and no box.

    Args:
        name: torchvision's.
        weights: a file that is opened for tensors only.
        classes: the task's.

    Raises:
        RecipeError: no such classifier.
        DataError: weights that are missing, unsafe, or another model's.
    """
    kind, model = "torchvision_classifier", name or "resnet18"
    config: Any = kinds("target")[kind]
    try:
        target = config(model=model, weights=weights).build(classes=tuple(classes), canvas_px=_CLASSIFIED_PX)
    except TerseError as error:
        raise type(error)(
            str(error).replace("target.weights", "--weights").replace("target.model", "--target")
        ) from None
    return TargetChoice(kind, target.found, _CLASSIFIED_PX, softmax=True, labels=None, lr=_RATE, model=model)


def others_that_fit(task: str, masks: int, objects: int, keypoints: int) -> dict[str, str]:
    """Targets of other tasks for which the real images are annotated, and why; empty where only boxes are.

    Args:
        task: of the target that was chosen.
        masks: objects of train that have a mask.
        objects: of train.
        keypoints: how many each object has.
    """
    found = {}
    if objects and masks == objects and task != "classification":
        if task != "segmentation":
            found["lraspp_mobilenet_v3_large"] = "every object of train has a mask: a class for each pixel"
        if task != "instances":
            found["maskrcnn_mobilenet_v3_large_fpn"] = "every object of train has a mask: boxes and masks"
    if keypoints:
        found["regressor"] = (
            f"objects have {keypoints} keypoints: write task: regression and target: {{kind: regressor, quantity: keypoints, "
            f"keypoints: {keypoints}}} into the recipe, for images of one object each"
        )
    return found


def _labels(classes: Sequence[str], outputs: int, ids: Mapping[str, int], *, softmax: bool) -> dict[str, int] | None:
    """None where the classes counted from 1 fit; else what the number of outputs tells.

    91 are COCO's and 21 VOC's, found by the classes' names; the data's own numbers count where they end at the last
    output. A file's numbers alone tell nothing: who made it numbered as he liked.
    """
    try:
        columns_of_classes(classes, outputs, None, softmax=softmax)
    except RecipeError:
        pass
    else:
        return None
    known = numbers_by_name(outputs)
    found = {name: known[name.casefold()] for name in classes if name.casefold() in known}
    if len(found) < len(classes) and max(ids.values(), default=0) == outputs - 1:
        found = {name: ids[name] for name in classes if name in ids}
    try:
        columns_of_classes(classes, outputs, found, softmax=softmax)
    except RecipeError:
        missing = ", ".join(name for name in classes if name not in found) or ", ".join(classes)
        raise RecipeError(
            f"--weights: expected a detector whose outputs are known (COCO's 91 or VOC's 21 by the classes' names, or the data's "
            f"own numbers up to the last), got one of {outputs} outputs that does not tell which are {missing}; leave --weights "
            "out, and write target.weights and target.labels into the recipe by hand"
        ) from None
    return found
