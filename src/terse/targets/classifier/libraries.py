"""The recipe's classifiers of torchvision and timm by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from terse.config import Component, Count, InputPath
from terse.errors import MissingExtra
from terse.registry import register

if TYPE_CHECKING:
    from torch import nn

    from terse.protocols import Target
    from terse.targets.classifier.named import Library

__all__ = ["TimmConfig", "TorchvisionClassifierConfig"]

_ASKING = ("googlenet", "inception_v3")
"""Networks of torchvision whose builder warns where nobody says how the first weights are drawn."""


class _NamedClassifier(Component["Target"]):
    task: ClassVar[str] = "classification"
    model: str
    """The library's name of the network, for example resnet18."""
    weights: InputPath | None = None
    """Tensors of the network; where the last layer is of other classes, all but it are taken. Nothing is downloaded."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments for the library's builder."""
    image_size_px: Count | None = None
    """Side that images are resized to; null takes the canvas, so that nothing is resized."""
    labels: dict[str, int] | None = None
    """The network's own index of each class, where `weights` know other classes too."""

    def build(self, *, classes: tuple[str, ...], canvas_px: int) -> Target:
        """The target for these classes on this canvas.

        Raises:
            RecipeError: no such network, settings or a side that it does not take, labels that do not fit.
            DataError: weights that are not there, or of something else.
            MissingExtra: the library is not installed.
        """
        from terse.targets.classifier.named import build_classifier

        return build_classifier(
            self._library(),
            self.model,
            classes,
            self.image_size_px or canvas_px,
            weights=self.weights,
            settings=self.settings,
            labels=self.labels,
        )

    def _library(self) -> Library:
        raise TypeError(f"{type(self).__name__}: expected a library of its own, got none")


@register("target", "torchvision_classifier")
class TorchvisionClassifierConfig(_NamedClassifier):
    """Any classifier of torchvision by name: resnet18, mobilenet_v3_small, convnext_tiny, vit_b_16."""

    kind: Literal["torchvision_classifier"] = "torchvision_classifier"

    def _library(self) -> Library:
        import torchvision

        from terse.targets.classifier.named import Library

        def make(name: str, outputs: int, settings: dict[str, Any]) -> nn.Module:
            own = {"init_weights": True} if name in _ASKING else {}
            built: nn.Module = torchvision.models.get_model(
                name, weights=None, num_classes=outputs, **{**own, **settings}
            )
            return built

        names = torchvision.models.list_models(module=torchvision.models)
        return Library("torchvision", tuple(names), make)


@register("target", "timm")
class TimmConfig(_NamedClassifier):
    """Any classifier of timm by name: resnet18, mobilenetv3_small_100, vit_tiny_patch16_224."""

    extra: ClassVar[str] = "timm"
    kind: Literal["timm"] = "timm"

    def _library(self) -> Library:
        try:
            import timm
        except ImportError:
            raise MissingExtra("target.kind=timm", "timm") from None

        from terse.targets.classifier.named import Library

        def make(name: str, outputs: int, settings: dict[str, Any]) -> nn.Module:
            built: nn.Module = timm.create_model(name, pretrained=False, num_classes=outputs, **settings)
            return built

        # A name may say which weights it means, as resnet18.a1_in1k; the network is the part before the dot.
        return Library("timm", (*timm.list_models(), *timm.list_pretrained()), make)
