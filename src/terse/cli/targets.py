"""`terse targets`."""

from __future__ import annotations

import inspect
from typing import Any

from terse.cli.answers import Json, answer

__all__ = ["targets"]


def targets(*, as_json: Json = False) -> None:
    """List the models that can be improved.

    Args:
        as_json: Print one JSON object.
    """
    from terse import registry
    from terse.errors import install_line

    told: dict[str, dict[str, Any]] = {}
    for kind, model in registry.kinds("target").items():
        summary = " ".join((inspect.getdoc(model) or "").split("\n\n")[0].split())
        fields = [name for name in model.model_fields if name != "kind"]
        told[kind] = {"summary": summary, "settings": fields, "extra": model.extra or None}
    lines = []
    for kind, item in told.items():
        lines += [kind, f"  {item['summary']}", f"  settings: {', '.join(item['settings'])}"]
        if item["extra"]:
            lines.append(f"  needs: {install_line(item['extra'])}")
    answer(told, "\n".join(lines), as_json=as_json)
