"""A library's classifier by name: made for the task's classes, with the weights of a file as far as they fit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from terse.errors import DataError, RecipeError, reason_of
from terse.modes import eval_mode
from terse.registry import nearest
from terse.targets.classifier.target import ClassificationTarget
from terse.targets.detector.config import columns_of_classes
from terse.targets.pixels import Pixels
from terse.targets.weights import load_tensors, outputs_of, read_weights

__all__ = ["Library", "build_classifier"]

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, slots=True)
class Library:
    """Who makes the networks: `make(name, outputs, settings)`."""

    name: str
    models: tuple[str, ...]
    make: Callable[[str, int, dict[str, Any]], nn.Module]


def build_classifier(
    library: Library,
    model: str,
    classes: tuple[str, ...],
    side_px: int,
    *,
    weights: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    labels: Mapping[str, int] | None = None,
) -> ClassificationTarget:
    """The target; one image is run through the network to see that it takes such.

    Raises:
        RecipeError: no such network, settings or a side that it does not take, labels that do not fit.
        DataError: weights that are not there, or of something else.
    """
    if model not in library.models:
        near = nearest(model, library.models) or "; its own list has them all"
        raise RecipeError(f"target.model: expected a classifier of {library.name}, got {model!r}{near}")

    def made(outputs: int) -> nn.Module:
        try:
            return library.make(model, outputs, dict(settings or {}))
        except Exception as error:  # each network checks its settings in its own way
            raise RecipeError(
                f"target.settings: expected settings of {model}, got {type(error).__name__}: {reason_of(error)}"
            ) from None

    outputs, module, found = len(classes), None, "nothing"
    if weights is not None:
        outputs, module, found = _with_weights(made, outputs, weights, asked=labels is not None)
    module = module or made(outputs)
    columns = None if labels is None else columns_of_classes(classes, outputs, labels, softmax=False)
    own: Any = getattr(module, "pretrained_cfg", {})
    mean, std = (tuple(own.get(key) or default) for key, default in zip(("mean", "std"), _IMAGENET, strict=True))
    pixels = Pixels(mean, std, side_px)
    _see(module, model, side_px, len(mean), pixels)
    return ClassificationTarget(module, classes, pixels=pixels, columns=columns, found=found)


def _with_weights(
    made: Callable[[int], nn.Module], outputs: int, path: Path, *, asked: bool
) -> tuple[int, nn.Module, str]:
    """The number of outputs, the network with the file's tensors, and whether its last layer is among them."""
    with torch.device("meta"):
        one, more = (made(number).state_dict() for number in (outputs, outputs + 1))
    state = read_weights(path, one)
    head = [name for name in one if one[name].shape != more[name].shape]
    given = {name: state[name] for name in head if name in state}
    told = {outputs_of(tensor) for tensor in given.values()}
    if given and (asked or told == {outputs}):
        if len(told) > 1:
            raise DataError(f"{path}: expected a last layer of one size, got {sorted(told)}; is it another model's?")
        outputs = told.pop()
        module = made(outputs)
        load_tensors(module, state, path)
        return outputs, module, "model"
    module = made(outputs)
    own = module.state_dict()
    load_tensors(module, {**state, **{name: own[name] for name in head}}, path)
    return outputs, module, "backbone"


def _see(module: nn.Module, model: str, side_px: int, channels: int, pixels: Pixels) -> None:
    with torch.no_grad(), eval_mode(module):
        try:
            module(pixels(torch.full((1, channels, side_px, side_px), 0.5)))
        except Exception as error:
            raise RecipeError(
                f"target.image_size_px: expected a side that {model} takes, got {side_px}, at which it raised "
                f"{type(error).__name__}: {reason_of(error)}; try 224, or target.settings"
            ) from None
