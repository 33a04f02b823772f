"""The recipe's `target: {kind: user}`: a model of your own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeGuard

from pydantic import Field

from terse.config import Component, InputPath
from terse.errors import RecipeError, TerseError, reason_of
from terse.registry import register
from terse.trust import require_trust

if TYPE_CHECKING:
    from torch import Tensor, nn

    from terse.protocols import Judges
    from terse.targets.classifier.target import ClassificationTarget

__all__ = ["UserConfig", "as_target"]


@register("target", "user")
class UserConfig(Component["Judges"]):
    """Your own model: a function that returns a classifier, a torchvision-style detector, or a whole Target."""

    kind: Literal["user"] = "user"
    factory: str
    """`module:function`; the module is looked for in the working directory too, and imported with `--trust` alone."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments for the function."""
    weights: InputPath | None = None
    """A state_dict of your model; None takes the weights it comes with."""
    labels: dict[str, int] | None = None
    """Detectors: your model's index of each category, where it is not the data's order."""
    lambda_box: Annotated[float, Field(ge=0)] = 1.0
    """Detectors: weight of the box error in Eq. 1."""

    def build(self, *, classes: tuple[str, ...], canvas_px: int) -> Judges:
        """Call the factory and see that what it returns can be a target.

        Raises:
            RecipeError: the factory is not trusted, cannot be found, raises, or returns something else.
            ShapeError: a classifier whose output is not one row of logits an image.
        """
        made: object = self._call()
        if self.weights is not None:
            from torch import nn

            from terse.protocols import network_of
            from terse.targets.weights import load_weights

            module = made if isinstance(made, nn.Module) and not _is_target(made) else network_of(made)
            if not isinstance(module, nn.Module):
                raise RecipeError(
                    f"target.weights: expected null, because {self.factory} returns a model without a module, "
                    f"got {self.weights}"
                )
            load_weights(module, self.weights)
        expected = f"target.factory: expected {self.factory} to return"
        return as_target(made, expected, classes, canvas_px, labels=self.labels, box_weight=self.lambda_box)

    def _call(self) -> Any:
        function = self._function()
        try:
            return function(**self.settings)
        except Exception as error:  # whatever the user's own code raises
            where = f"{type(error).__name__}: {error}"
            raise RecipeError(f"target.factory: expected {self.factory} to return a model, got {where}") from error

    def _function(self) -> Callable[..., Any]:
        name, colon, attribute = self.factory.partition(":")
        if not (name and colon and attribute):
            raise RecipeError(f"target.factory: expected module:function, got {self.factory!r}")
        require_trust("target.factory", self.factory)
        if str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        try:
            function = getattr(importlib.import_module(name), attribute)
        except AttributeError:
            raise RecipeError(f"target.factory: expected {name} to have {attribute}, got no such name") from None
        except Exception as error:  # whatever importing the user's own code raises
            where = f"{type(error).__name__}: {error}"
            raise RecipeError(f"target.factory: expected a module {name!r} that imports, got {where}") from error
        if not callable(function):
            raise RecipeError(f"target.factory: expected a function, got {self.factory} = {function!r}")
        return function  # type: ignore[no-any-return]


def as_target(
    made: object,
    expected: str,
    classes: tuple[str, ...],
    canvas_px: int,
    *,
    labels: dict[str, int] | None = None,
    box_weight: float = 1.0,
) -> Judges:
    """A model of the user's own as a target: a target is one already, a classifier or a detector of torchvision's is wrapped.

    Args:
        made: the model.
        expected: how a refusal begins.
        classes: of the task.
        canvas_px: side of the images that a classifier is shown once.
        labels: of a detector, its index of each class, where it is not the data's order.
        box_weight: of a detector, the weight of the box error in Eq. 1.

    Raises:
        RecipeError: it is something else.
        ShapeError: a classifier whose output is not one row of logits an image.
    """
    from torch import nn

    from terse.targets.classifier.target import ClassificationTarget

    if _is_target(made):
        names: object = getattr(made, "classes", None)
        listed = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
        if names is not None and not listed:
            raise RecipeError(
                f"{expected} a target whose classes are a list of names, or none, got {names!r}; leave it out"
            )
        module: object = getattr(made, "module", None)
        if module is not None and not isinstance(module, nn.Module):
            raise RecipeError(
                f"{expected} a target whose module is a torch.nn.Module, got {type(module).__name__}; one that is only asked "
                "needs none: leave it out"
            )
        return made
    if not isinstance(made, nn.Module):
        raise RecipeError(f"{expected} a torch.nn.Module or a Target, got {type(made).__name__}{_lacking(made)}")
    if hasattr(made, "roi_heads") or hasattr(made, "anchor_generator"):
        from terse.targets.detector.target import wrap_detector

        return wrap_detector(made, classes, canvas_px, labels=labels, box_weight=box_weight)
    classifier = ClassificationTarget(made, classes)
    _see(classifier, expected, canvas_px)
    return classifier


def _is_target(made: object) -> TypeGuard[Judges]:
    from torch import nn

    from terse.protocols import is_judge

    return is_judge(made) and (hasattr(made, "module") or not isinstance(made, nn.Module))


def _see(target: ClassificationTarget, expected: str, canvas_px: int) -> None:
    """Show a classifier one image, in colour or else grey: what it raises is told before a run begins."""
    import torch

    from terse.modes import eval_mode

    try:
        with eval_mode(target.module):
            pass
    except Exception as error:  # exported programs and frozen TorchScript have one mode
        raise RecipeError(
            f"{expected} a model that changes between train and eval mode, got {type(target.module).__name__}, which raised "
            f"{type(error).__name__}: {reason_of(error)}; one that only answers is asked by an object with confidence and predict"
        ) from error
    parameter = next(target.module.parameters(), None)
    device = None if parameter is None else parameter.device
    raised: Exception | None = None
    for channels in (3, 1):
        try:
            target.predict(torch.zeros(1, channels, canvas_px, canvas_px, device=device))
        except TerseError as error:
            raised = error
            break
        except Exception as error:  # whatever the user's own code raises
            raised = raised or error
        else:
            return
    if _gives_boxes(target.module, torch.zeros(3, canvas_px, canvas_px, device=device)):
        raise RecipeError(
            f"{expected} a classifier, a detector of torchvision's own classes or a "
            f"Target, got {type(target.module).__name__}, which answers with boxes as those detectors do; wrap it in an "
            "object with confidence, predict, module and train_loss"
        )
    if isinstance(raised, TerseError):
        raise raised
    assert raised is not None  # both images failed
    raise RecipeError(
        f"{expected} a model that takes float32 images of {canvas_px} x {canvas_px} px, "
        f"got {type(target.module).__name__}, which raised {type(raised).__name__}: {reason_of(raised)}; try it on one image"
    ) from raised


def _gives_boxes(module: nn.Module, image: Tensor) -> bool:
    """Whether it takes a list of images and answers with dictionaries of boxes, as torchvision's detectors do."""
    import torch

    from terse.modes import eval_mode

    try:
        with torch.no_grad(), eval_mode(module):
            return "boxes" in module([image])[0]
    except Exception:  # whatever the user's own code raises: then it is no such detector
        return False


def _lacking(made: object) -> str:
    """What an object that was meant to be a target lacks; empty for one that has nothing of a target."""
    methods = ("confidence", "predict")
    missing = [name for name in methods if not hasattr(made, name)]
    meant = len(missing) < len(methods) or any(hasattr(made, name) for name in ("module", "train_loss", "attack_loss"))
    return f" without {' and '.join(missing)}" if meant and missing else ""
