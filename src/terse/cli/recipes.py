"""`terse recipes`."""

from __future__ import annotations

import json
from typing import Annotated

from cyclopts import Parameter

__all__ = ["recipes"]


def recipes(name: str | None = None, *, as_json: Annotated[bool, Parameter(name="--json")] = False) -> None:
    """List the built-in recipes, or print one.

    Args:
        name: Print this recipe's text.
        as_json: Print one JSON object.
    """
    from terse import registry
    from terse.config import read_yaml
    from terse.errors import RecipeError
    from terse.recipe import builtin_recipes

    texts = builtin_recipes()
    if name is not None:
        if name not in texts:
            raise RecipeError(f"{name}: expected one of {', '.join(texts)}, got another{registry.nearest(name, texts)}")
        print(json.dumps(read_yaml(texts[name], name)) if as_json else texts[name], end="")
        return
    told = {key: str(read_yaml(text, key).get("description", "")) for key, text in texts.items()}
    if as_json:
        print(json.dumps(told))
        return
    width = max(map(len, told))
    print("\n".join(f"{key:<{width}}  {summary}" for key, summary in told.items()))
