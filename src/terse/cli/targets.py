"""`terse targets`."""

from __future__ import annotations

import inspect

from terse.cli.answers import Json, answer

__all__ = ["targets"]


def targets(*, as_json: Json = False) -> None:
    """List the models that can be improved.

    Args:
        as_json: Print one JSON object.
    """
    from terse import registry

    told = {}
    for kind, model in registry.kinds("target").items():
        summary = " ".join((inspect.getdoc(model) or "").split("\n\n")[0].split())
        fields = [name for name in model.model_fields if name != "kind"]
        told[kind] = {"summary": summary, "settings": fields}
    lines = [f"{kind}\n  {item['summary']}\n  settings: {', '.join(item['settings'])}" for kind, item in told.items()]
    answer(told, "\n".join(lines), as_json=as_json)
