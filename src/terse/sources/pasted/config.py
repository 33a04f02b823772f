"""The recipe's `data: {kind: pasted}`: composites to train on and to be judged by, where there are no photographs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from terse.config import Component, Count, Counts, Family, NonNegative, PositiveSpan, Span
from terse.registry import register

if TYPE_CHECKING:
    from terse.sources.annotations import Annotations
    from terse.sources.run_data import RunData

__all__ = ["PastedConfig"]

_LEAST_VISIBLE = 0.3
Source = Annotated[Component["Annotations"], Family("source")]


@register("data", "pasted")
class PastedConfig(Component["RunData"]):
    """Objects pasted at random on backgrounds: some cut-outs to train on and to paste, others to be tested by.

    What it measures is whether a detector that learned objects from some cut-outs finds them in other ones of the same
    objects, pasted on other backgrounds. It says nothing of real scenes.
    """

    note: ClassVar[str] = (
        "The test images are composites, drawn like those that were trained on but of other cut-outs on other "
        "backgrounds: a synthetic test, which claims nothing on real scenes."
    )
    kind: Literal["pasted"] = "pasted"
    foregrounds: Source
    """Cut-outs to train on; the run pastes these."""
    test_foregrounds: Source
    """Other cut-outs of the same classes, which the test images show alone."""
    backgrounds: Source
    """Shared out at random: three fifths to train and to paste on, a fifth each for val and test."""
    canvas_px: Count = 160
    """Side of the images; the recipe's `canvas_px` has to be the same."""
    train: Count = 400
    """Composites to train on, of `foregrounds`."""
    val: Count = 60
    """Composites that choose the best cycle, of `foregrounds` on backgrounds of their own."""
    test: Count = 120
    """Composites that judge, of `test_foregrounds` on backgrounds of their own."""
    objects: Counts = (1, 3)
    """Fewest and most objects of an image."""
    rotation_deg: Span = (-30.0, 30.0)
    """How far objects are turned, anticlockwise."""
    scale: PositiveSpan = (0.25, 0.7)
    """Longer side of an object over the image's."""
    seed: NonNegative = 7
    """Of all drawing: fixed, so that every run is judged by the same images."""

    def build(self) -> RunData:
        """Banks and splits; a composite is drawn when it is first asked for.

        Raises:
            DataError: a source cannot be read, or the cut-outs of the test are of other classes.
        """
        from terse.errors import DataError
        from terse.poses import AffinePoses
        from terse.recipe_parts import EdgeConfig
        from terse.sources.banks import PhotoBackgrounds
        from terse.sources.pasted.images import PastedImages
        from terse.sources.photo_foregrounds import PhotoForegrounds
        from terse.sources.run_data import RunData, hold_out
        from terse.synthesis.materials import Materials

        shown, unseen = self.foregrounds.build(), self.test_foregrounds.build()
        if set(shown.classes) != set(unseen.classes):
            raise DataError(
                f"data.test_foregrounds: expected the classes of data.foregrounds, {', '.join(shown.classes)}, "
                f"got {', '.join(unseen.classes)}"
            )
        parts = hold_out(self.backgrounds.build(), {"val": 0.2, "test": 0.25})
        side, classes = self.canvas_px, shown.classes
        pasted = PhotoForegrounds(shown, classes, patch_px=side)
        banks = {name: PhotoBackgrounds(part, classes, canvas_px=side) for name, part in parts.items()}
        shear, stretch = (-0.1, 0.1), (0.9, 1.1)
        poses = AffinePoses(self.rotation_deg, (-1.0, 1.0), shear, self.scale, stretch=stretch, min_visible=0.6)
        counts = {"train": self.train, "val": self.val, "test": self.test}
        images = {}
        for name, count in counts.items():
            cut = PhotoForegrounds(unseen, classes, patch_px=side) if name == "test" else pasted
            drawn_from = Materials(
                cut, banks[name], poses, EdgeConfig(), None, classes, side, self.seed, min_visible=_LEAST_VISIBLE
            )
            images[name] = PastedImages(drawn_from, count, self.objects, (self.seed, name))
        return RunData(
            foregrounds=pasted,
            backgrounds=banks["train"],
            train=images["train"],
            val=images["val"],
            test=images["test"],
            classes=classes,
            messages=(self.note,),
        )
