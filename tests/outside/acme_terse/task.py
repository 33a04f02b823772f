"""Classification judged by its error."""

from terse.registry import register
from terse.tasks.answers import Answer, Answers, Change
from terse.tasks.task import Metric, Task


@register("task", "acme_error")
class ErrorRate(Task):
    """The share of images that are named wrongly."""

    primary = Metric("error", "Error", "error", larger_is_better=False)
    metrics = (primary,)
    progress = ("error",)

    def measure(self, target, images, device):
        wrong = self.units(target, images, device)
        return {"error": sum(wrong) / len(wrong)}

    def units(self, target, images, device):
        from terse.evaluation.predictions import predictions

        wrong = []
        for probabilities, truth in predictions(target, images, batch_size=100, device=device):
            wrong += (probabilities.argmax(dim=1).cpu() != truth.labels).double().tolist()
        return wrong

    def image_confidence(self, predicted, labels):
        return [float(row[of].max()) for row, of in zip(predicted.cpu(), labels, strict=True)]

    def answers(self, before, after, images, classes):
        import numpy as np

        batch, _ = images.fetch(np.array([0]))
        old, new = (Answer(classes[int(target.predict(batch).argmax())]) for target in (before, after))
        return Answers([Change(0, "the first", old, new)], "The first test image.")
