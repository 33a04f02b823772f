"""Networks of semantic segmentation by name, and what a recipe can say about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from terse.config import Component, InputPath
from terse.errors import MissingExtra, RecipeError, reason_of
from terse.registry import register

if TYPE_CHECKING:
    from terse.protocols import Target

__all__ = [
    "DeepLabV3MobileNetV3Large",
    "DeepLabV3ResNet50",
    "FCNResNet50",
    "LRASPPMobileNetV3Large",
    "SegmentationModelsPytorch",
]


class _Segmenter(Component["Target"]):
    task: ClassVar[str] = "segmentation"
    weights: InputPath | None = None
    """Tensors of a whole network, or of its backbone alone; the log says which it was. None starts from nothing."""
    labels: dict[str, int] | None = None
    """The network's own output of each class, where they are not the task's classes counted from 1; 0 is the background."""
    shape_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight in Eq. 1 of 1 - IoU of each pasted object, beside -log p of its pixels."""

    def build(self, *, classes: tuple[str, ...], canvas_px: int) -> Target:
        """The target for these classes.

        Raises:
            RecipeError: labels that do not fit.
            DataError: weights that are not there, or of something else.
        """
        from terse.targets.segmentation.networks import NETWORKS

        return self._wrap(NETWORKS[self.kind], classes, canvas_px)

    def _wrap(self, network: Any, classes: tuple[str, ...], canvas_px: int, step_px: int = 1) -> Target:
        from terse.targets.detector.config import columns_of_classes
        from terse.targets.detector.networks import build_with_weights
        from terse.targets.named_outputs import numbers_by_name
        from terse.targets.segmentation.target import SegmentationTarget

        module, outputs, found = build_with_weights(network, self.weights, len(classes) + 1, canvas_px)
        columns = columns_of_classes(classes, outputs, self.labels, softmax=True)
        return SegmentationTarget(
            module,
            classes,
            columns,
            shape_weight=self.shape_weight,
            step_px=step_px,
            found=found,
            named=numbers_by_name(outputs) if found == network.what else {},
        )


@register("target", "lraspp_mobilenet_v3_large")
class LRASPPMobileNetV3Large(_Segmenter):
    """LR-ASPP on MobileNetV3 (Howard et al. 2019): the one to train on a CPU."""

    kind: Literal["lraspp_mobilenet_v3_large"] = "lraspp_mobilenet_v3_large"


@register("target", "deeplabv3_mobilenet_v3_large")
class DeepLabV3MobileNetV3Large(_Segmenter):
    """DeepLabV3 (Chen et al. 2017) on MobileNetV3."""

    kind: Literal["deeplabv3_mobilenet_v3_large"] = "deeplabv3_mobilenet_v3_large"


@register("target", "deeplabv3_resnet50")
class DeepLabV3ResNet50(_Segmenter):
    """DeepLabV3 (Chen et al. 2017) on ResNet-50."""

    kind: Literal["deeplabv3_resnet50"] = "deeplabv3_resnet50"


@register("target", "fcn_resnet50")
class FCNResNet50(_Segmenter):
    """FCN (Long et al. 2015) on a dilated ResNet-50."""

    kind: Literal["fcn_resnet50"] = "fcn_resnet50"


@register("target", "smp")
class SegmentationModelsPytorch(_Segmenter):
    """Any network of segmentation-models-pytorch by name, such as Unet on resnet18."""

    extra: ClassVar[str] = "smp"
    kind: Literal["smp"] = "smp"
    architecture: str = "Unet"
    """Unet, FPN, DeepLabV3Plus, Segformer or another name of the library, in any case."""
    encoder: str = "resnet18"
    """The library's name of the backbone; its weights come by `weights`, never by a download."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Further keyword arguments of the network, such as decoder_channels."""

    def build(self, *, classes: tuple[str, ...], canvas_px: int) -> Target:
        """The target for these classes.

        Raises:
            MissingExtra: the library is not installed.
            RecipeError: no such architecture or encoder, settings that it does not take, or a canvas of another side than
                it takes.
            DataError: weights that are not there, or of something else.
        """
        try:
            import segmentation_models_pytorch as smp
        except ImportError:
            raise MissingExtra("target.kind: smp", "smp") from None
        from terse.targets.detector.networks import Network

        def network(outputs: int, size_px: int, state: Any) -> Any:
            try:
                return smp.create_model(
                    self.architecture, self.encoder, encoder_weights=None, classes=outputs, **self.settings
                )
            except Exception as error:  # timm refuses an encoder in its own way
                why = reason_of(error).strip("\"'")
                raise RecipeError(
                    f"target: expected an architecture, an encoder and settings of segmentation-models-pytorch, "
                    f"got {self.architecture} on {self.encoder}: {why}"
                ) from None

        encoder = "encoder."

        def body(name: str) -> str | None:
            return name.removeprefix(encoder) if name.startswith(encoder) else None

        target = self._wrap(Network(network, body, what="segmentation network"), classes, canvas_px, step_px=32)
        self._see(target, canvas_px)
        return target

    def _see(self, target: Target, canvas_px: int) -> None:
        """Show it one image: transformers take one size alone, and pyramids none below theirs."""
        import torch

        try:
            target.predict(torch.full((1, 3, canvas_px, canvas_px), 0.5))
        except Exception as error:
            raise RecipeError(
                f"canvas_px: expected a side that {self.architecture} on {self.encoder} takes, got {canvas_px}, at which it "
                f"raised {type(error).__name__}: {reason_of(error)}; try 224, or target.settings"
            ) from None
