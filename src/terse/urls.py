"""URLs where a path is expected, and whether they may be asked for.

`pathlib` writes `s3://bucket/key` as `s3:/bucket/key`; `url_of` gives the URL back, so recipes and commands pass on paths.
A recipe or a run's folder may be a stranger's: what it names is asked for where the user typed the URL, or trusts it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from terse.errors import RecipeError
from terse.trust import trusted

__all__ = ["as_typed", "local_path", "require_trusted_url", "type_urls", "typed_urls", "url_of"]

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(?=[^/])")  # two letters at least: one is a drive of Windows
_TYPED: set[str] = set()


def url_of(path: Path | str) -> str | None:
    """The URL that a path stands for; None of a path on this machine, `file://` ones included."""
    found = _URL.match(str(path))
    if found is None or found[1] == "file":
        return None
    return f"{found[1]}://{str(path)[found.end() :]}"


def local_path(path: Path | str) -> Path:
    """A path on this machine, also where it was typed as `file:///folder`."""
    found = _URL.match(str(path))
    return Path(path) if found is None else Path("/") / str(path)[found.end() :]


def as_typed(path: Path | str) -> str:
    """What a person reads: the URL, or the path."""
    return url_of(path) or str(path)


def type_urls(urls: Iterable[str]) -> None:
    """The user typed these: this process may ask for them."""
    _TYPED.update(urls)


def typed_urls() -> frozenset[str]:
    """What the user typed; a worker process must be told by the one that starts it."""
    return frozenset(_TYPED)


def require_trusted_url(where: str, url: str) -> None:
    """Refuse to ask for a URL that stands in a recipe, unless the user trusts the recipe.

    Raises:
        RecipeError: neither typed nor trusted; setting and URL are named.
    """
    if url not in _TYPED and not trusted():
        raise RecipeError(
            f"{where}: expected --trust (Python: trust=True) before a URL that a recipe names is asked for, got none for "
            f"{url}; it would be made with your credentials: trust the recipe, or type the setting yourself, as key=value"
        )
