"""`terse recipes`."""

from __future__ import annotations

from terse.cli.answers import Json, answer

__all__ = ["recipes"]


def recipes(name: str | None = None, *, as_json: Json = False) -> None:
    """List the built-in recipes, or print one.

    Args:
        name: Print this recipe's text.
        as_json: Print one JSON object.
    """
    from terse import registry
    from terse.errors import RecipeError, install_line
    from terse.recipe import extras_needed
    from terse.recipe_files import builtin_recipes
    from terse.yaml_text import read_yaml

    texts = builtin_recipes()
    if name is not None:
        if name not in texts:
            raise RecipeError(f"{name}: expected one of {', '.join(texts)}, got another{registry.nearest(name, texts)}")
        answer(read_yaml(texts[name], name), texts[name].removesuffix("\n"), as_json=as_json)
        return
    told = {key: str(read_yaml(text, key).get("description", "")) for key, text in texts.items()}
    width = max(map(len, told))
    lines = []
    for key, summary in told.items():
        lines.append(f"{key:<{width}}  {summary}")
        lines += [f"{'':<{width}}  needs: {install_line(extra)}" for extra in extras_needed(key)]
    answer(told, "\n".join(lines), as_json=as_json)
