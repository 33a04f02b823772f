"""`terse check`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from terse.cli.answers import Json, answer
from terse.cli.jobs import recipe_or_data, with_trust
from terse.cli.progress import counting

__all__ = ["check"]

_EXAMPLES = 3


@with_trust
def check(
    source: str,
    *overrides: str,
    images: Path | None = None,
    checkpoint: Path | None = None,
    out: Path | None = None,
    sample: int = 2000,
    as_json: Json = False,
) -> int:
    """Look for what stands in a run's way; write a page, and a list of what to leave out.

    Args:
        source: A recipe, or data: a COCO file, a YOLO data.yaml, a folder of VOC, cut-outs or images.
        overrides: Settings of the recipe as key=value.
        images: The photographs of a COCO file; looked for beside it by default.
        checkpoint: A trained model's weights, to search the backgrounds for objects without a label.
        out: Folder for page and lists; checks/NAME by default.
        sample: Look at so many images of each part, and five times so many masks, evenly spread; 0 is all.
        as_json: Print one JSON object.
    """
    from terse.errors import RecipeError

    if sample < 0:
        raise RecipeError(f"--sample: expected an integer >= 0, got {sample}; 0 looks at everything")
    if out is not None:
        from terse.folders import require_local

        require_local(out)
    data = recipe_or_data(source, images, [*overrides, *([] if checkpoint is None else ["--checkpoint"])])
    if data is None:
        from terse.recipe import load_recipe

        recipe = load_recipe(source, overrides)
        from terse.check.check import check_recipe

        with counting() as observer:
            checked = check_recipe(recipe, source, checkpoint=checkpoint, sample=sample, observer=observer)
        checked = replace(checked, overrides=overrides)
        name = recipe.name
    else:
        from terse.check.check import check_data

        with counting() as observer:
            checked = check_data(data, source, sample=sample, observer=observer)
        name = Path(source).resolve().stem
    from terse.check.page import write

    result = write(checked, out if out is not None else Path("checks") / name)
    answer(result, _summary(result), as_json=as_json)
    return 0 if checked.ready else 2


def _summary(result: dict[str, Any]) -> str:
    lines = []
    for weight in ("error", "warning", "note"):
        for one in result["findings"]:
            if one["weight"] == weight:
                amount = f" ({one['count']:,})" if one["count"] else ""
                lines.append(f"{weight:<8} {one['name']}{amount}, {one['where']}: {one['advice']}")
                lines += [f"         - {example}" for example in one["examples"][:_EXAMPLES]]
    verdict = "ready" if result["ready"] else "not ready"
    if result["command"] == "generate":  # the recipe trains nothing
        verdict += " for terse generate"
    if result["ready"] and any(one["weight"] == "warning" for one in result["findings"]):
        verdict += ", with things to look at"
    for name, counts in result["parts"].items():
        lines.append(
            f"{name:<12} {counts['images']:,} images, {counts['objects']:,} objects, {counts['masks']:,} masks"
        )
    for part, path in result["leave_out"].items():
        taker = "leave_out of a recipe's foregrounds" if part == "data" else f"{part}.leave_out"
        lines.append(f"leave out    {path}: for {taker}")
    return "\n".join([*lines, f"page         {result['page']}", f"{result['subject']}: {verdict}"])
