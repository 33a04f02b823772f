"""`terse targets`."""

from __future__ import annotations

import inspect
import json
from typing import Annotated

from cyclopts import Parameter

__all__ = ["targets"]


def targets(*, as_json: Annotated[bool, Parameter(name="--json")] = False) -> None:
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
    if as_json:
        print(json.dumps(told))
        return
    for kind, item in told.items():
        print(f"{kind}\n  {item['summary']}\n  settings: {', '.join(item['settings'])}")
