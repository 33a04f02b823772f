"""The recipe's classifiers: the paper's two for digits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from terse.config import Component, InputPath
from terse.registry import register

if TYPE_CHECKING:
    from terse.protocols import Target

__all__ = ["MNISTClassifierConfig", "MNISTClassifierDeepConfig"]


class _DigitClassifierConfig(Component["Target"]):
    task: ClassVar[str] = "classification"
    weights: InputPath | None = None
    """A state_dict to start from; None starts from random weights."""
    initialisation: Literal["default", "xavier"] = "default"
    """Of random weights: PyTorch's own, or Xavier with gain 0.4 as the synthesizer's (A.1)."""

    def _wrap(self, module: Any, classes: tuple[str, ...]) -> Target:
        from terse.synthesis.learned.digits import xavier
        from terse.targets.classifier.target import ClassificationTarget
        from terse.targets.weights import load_weights

        if self.initialisation == "xavier":
            xavier(module)
        if self.weights is not None:
            load_weights(module, self.weights)
        return ClassificationTarget(module, classes)


@register("target", "mnist_classifier")
class MNISTClassifierConfig(_DigitClassifierConfig):
    """The small classifier of Fig. 7 (A.1): 52,000 parameters on 40x40 grey images."""

    kind: Literal["mnist_classifier"] = "mnist_classifier"

    def build(self, *, classes: tuple[str, ...], canvas_px: int) -> Target:
        """The target, with random or given weights."""
        from terse.targets.classifier.target import MNISTClassifier

        return self._wrap(MNISTClassifier(len(classes)), classes)


@register("target", "mnist_classifier_deep")
class MNISTClassifierDeepConfig(_DigitClassifierConfig):
    """The deep classifier of Table 1 (A.1, after Zhao et al. 2018) on 40x40 grey images."""

    kind: Literal["mnist_classifier_deep"] = "mnist_classifier_deep"

    def build(self, *, classes: tuple[str, ...], canvas_px: int) -> Target:
        """The target, with random or given weights."""
        from terse.targets.classifier.target import MNISTClassifierDeep

        return self._wrap(MNISTClassifierDeep(len(classes)), classes)
