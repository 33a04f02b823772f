"""Whether code that a recipe names may be imported: only where the user has said so, whoever typed the recipe's path.

A recipe or a run's folder may be a stranger's, with a module beside it. Entry points of installed packages are exempt, and
so is a model that is handed over as an object.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from terse.errors import RecipeError

__all__ = ["require_trust", "trusted", "trusting"]

_TRUSTED: ContextVar[bool] = ContextVar("trusted", default=False)


@contextmanager
def trusting(trust: bool = True) -> Iterator[None]:
    """Allow such imports inside the block; with False, nothing changes."""
    if not trust:
        yield
        return
    token = _TRUSTED.set(True)
    try:
        yield
    finally:
        _TRUSTED.reset(token)


def trusted() -> bool:
    """Whether such imports are allowed now; a worker process must be told by the one that starts it."""
    return _TRUSTED.get()


def require_trust(where: str, code: str) -> None:
    """Refuse to go on where the user has not said that the code may be imported.

    Raises:
        RecipeError: not trusted; setting and code are named.
    """
    if not trusted():
        raise RecipeError(
            f"{where}: expected --trust (Python: trust=True) before code that a recipe names is imported, got none for "
            f"{code}; read that code first, it can do whatever you can"
        )
