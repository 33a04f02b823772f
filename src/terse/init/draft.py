"""The recipe that `terse init` writes: short, with a comment on each line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from terse.init.target import TargetChoice

__all__ = ["draft"]

Scales: TypeAlias = tuple[float, float] | Mapping[str, tuple[float, float]]

_OURS = ("description", "name", "base", "foregrounds", "backgrounds", "train", "val", "test", "target", "classes")
_WHY = {
    "canvas_px": "side of the square that composites are drawn on; the target's own input",
    "hardness": "its scores are no probabilities: hard is below what it gives real objects",
    "pretrain": "first, the target is trained on train, because its weights are a backbone's at most",
    "poses": "how objects are turned (wider where yours lie about), and their side as a share of the image's",
    "pool": "how many hard composites are kept a cycle, of how many that are looked at",
    "fine_tune": "how the target learns from real and synthetic images, in each cycle",
    "cycles": "rounds of: find what the target fails, learn it; the best on val is kept",
    "synthesis": "who learns where to paste; true pits it against a discriminator that keeps it real",
}
_BACKBONE = "mobilenet_v2"  # of the detector that a file of a backbone alone is for
_SMALL_SYNTHESIS = {"input_px": 160, "branch_channels": 64, "steps": 200}
_SMALL = "as in the recipe for two CPU cores"
_MINED = "random poses, of which those are kept that the {noun} fails; learned wants a backbone with weights"
_FAST = {"name": "adam", "momentum": 0.9, "weight_decay": 0, "schedule": "one_cycle", "max_grad_norm": 10}
_FROM_NOTHING: Mapping[str, Any] = {
    "pretrain": {"epochs": 16, "batch_size": 16, "optimizer": {**_FAST, "lr": 3e-3}, "augment": True},
    "synthesis": {"kind": "mined"},
    "pool": {"per_cycle": 300, "candidates": 1200},
    "fine_tune": {"epochs": 8, "optimizer": {**_FAST, "lr": 2e-3}},
}
"""Of the small detector without weights: all of it learns, so rates are high; measured in docs/results/tutorial.md."""


def draft(
    name: str,
    sources: Mapping[str, Any],
    choice: TargetChoice,
    weights: str | None,
    *,
    gpu: bool,
    small: Mapping[str, Any],
    scale: Scales | None = None,
    classes: Sequence[str] | None = None,
) -> str:
    """The text of the recipe.

    Args:
        name: what the user calls it.
        sources: foregrounds, backgrounds, train and val, in the recipe's words.
        choice: the target.
        weights: its file, as the recipe is to name it.
        gpu: whether the base's settings, for a GPU, can stay.
        small: the built-in recipe for CPUs, whose settings are taken without one.
        scale: how large objects are, or those of each class; None keeps the base's.
        classes: the task's; None is those that are pasted.
    """
    target: dict[str, Any] = {"kind": choice.kind}
    if choice.model is not None:
        target["model"] = choice.model
    if weights is not None:
        target["weights"] = weights
    if choice.labels is not None:
        target["labels"] = choice.labels
    lines = [
        f"# {name}: written by `terse init`. Look at it with `terse check` and `terse preview`, run it with `terse train`.",
        *([] if choice.task == "detection" else _line("task", choice.task, "what is learned, and how it is measured")),
        *_line("base", "detector", "a built-in recipe that supplies what is not said here: `terse recipes detector`"),
        *_line("foregrounds", sources["foregrounds"], "what is pasted: objects with masks, cut out of these images"),
        *_line(
            "backgrounds", sources["backgrounds"], "what is pasted on; best without such objects (terse check looks)"
        ),
        *_line("train", sources["train"], "real images, mixed 1 : 1 with composites"),
        *_line(
            "val", sources["val"], "chooses the best cycle: a fraction of train, or a source of its own as train is"
        ),
        *_line("target", target, f"the {choice.noun} to improve"),
        *(
            []
            if classes is None
            else _line("classes", classes, "what is told apart: what is pasted, and what val holds")
        ),
        *(
            line
            for key, (value, why) in _settings(choice, weights, gpu, small, scale).items()
            for line in _line(key, value, why)
        ),
    ]
    return "\n".join(lines) + "\n"


def _settings(
    choice: TargetChoice, weights: str | None, gpu: bool, small: Mapping[str, Any], scale: Scales | None
) -> dict[str, tuple[Any, str]]:
    settings: dict[str, Any] = {}
    if choice.canvas_px != 300:
        settings["canvas_px"] = choice.canvas_px
    if not choice.softmax:
        settings["hardness"] = {"kind": "quantile"}
    if choice.found in ("nothing", "backbone"):
        settings["pretrain"] = _pretrain(choice.lr)
    settings["synthesis"] = _synthesis(choice, weights, {} if gpu else small.get("synthesis") or _SMALL_SYNTHESIS)
    if not gpu:
        settings |= {
            key: value for key, value in small.items() if key not in (*_OURS, *settings, "canvas_px", "pretrain")
        }
    if choice.from_nothing:
        settings.update(_FROM_NOTHING)
    if scale is not None:
        settings["poses"] = {**settings.get("poses", {}), "scale": scale}
    settings["cycles"] = settings.pop("cycles", 5)
    mined = settings["synthesis"]["kind"] == "mined"
    why = {**_WHY, "synthesis": _MINED.format(noun=choice.noun)} if mined else _WHY
    return {key: (value, why.get(key, _SMALL)) for key, value in settings.items()}


def _pretrain(lr: float) -> dict[str, Any]:
    optimizer = {"name": "sgd", "lr": lr, "momentum": 0.9, "weight_decay": 5e-4}
    optimizer |= {"schedule": "one_cycle", "max_grad_norm": 10}
    return {"epochs": 16, "batch_size": 16, "optimizer": optimizer, "augment": True}


def _synthesis(choice: TargetChoice, weights: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """A synthesizer where the detector's backbone weights serve it too; without any it has nothing to look with."""
    backbone = given.get("backbone", _BACKBONE)
    if backbone != _BACKBONE or choice.kind != "ssdlite_mobilenet_v2" or choice.found != "backbone":
        return {"kind": "mined"}
    return {"kind": "learned", "discriminator": True, "backbone": backbone, **given, "backbone_weights": weights}


def _line(key: str, value: Any, why: str) -> Iterator[str]:
    """The setting, its comment behind it, or above where the line would be long."""
    text = f"{key}: {flow(value)}"
    if len(text) + len(why) <= 110:
        yield f"{text}  # {why}"
    else:
        yield f"# {why}"
        yield text


def flow(value: Any) -> str:
    """A value on one line of YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_word(str(key))}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return (
        _word(str(value)) if isinstance(value, str | Path) else f"{value:g}" if isinstance(value, float) else str(value)
    )


def _word(text: str) -> str:
    """Quoted where YAML would read something else; what cannot be seen, and YAML may refuse, is written as its number."""
    import json

    plain = text and all(letter.isalnum() or letter in "_-./" for letter in text) and text.isascii()
    if plain and text[0].isalpha() and text.lower() not in ("true", "false", "null"):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in quoted)
