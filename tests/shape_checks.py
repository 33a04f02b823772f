"""What checks shapes while tests run: beartype, to which an int is a float as it is to mypy.

Only what has shapes in its signature is checked. The hook would check every function and dataclass, each twice a call: that
took a fifth of a run and half of an import, for types that mypy has seen.
"""

import dataclasses
import re
from typing import Any, get_args

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, AbstractDtype

check_types = beartype(conf=BeartypeConf(is_pep484_tower=True))
jaxtyped = jaxtyping.jaxtyped
_DTYPES = {
    name: one for name, one in vars(jaxtyping).items() if isinstance(one, type) and issubclass(one, AbstractDtype)
}
_WORDS = re.compile(r"\b[A-Za-z_]\w*")


def install(modules: list[str]) -> None:
    """Check what has shapes in these modules, once they are imported."""
    jaxtyping.jaxtyped = where_shaped
    jaxtyping.install_import_hook(modules, "shape_checks.check_types")


def where_shaped(thing: Any = None, *, typechecker: Any = None) -> Any:
    """jaxtyping's decorator, for a function or dataclass with shapes; any other as it is."""
    if thing is None:
        return lambda one: where_shaped(one, typechecker=typechecker)
    return jaxtyped(thing, typechecker=typechecker) if _has_shapes(thing) else thing


def _has_shapes(thing: Any) -> bool:
    if isinstance(thing, property):
        thing = thing.fget
    elif isinstance(thing, type):
        thing = thing.__init__ if dataclasses.is_dataclass(thing) else None
    thing = getattr(thing, "__func__", thing)
    names = getattr(thing, "__globals__", {})
    return any(_is_shape(annotation, names) for annotation in getattr(thing, "__annotations__", {}).values())


def _is_shape(annotation: Any, names: dict[str, Any]) -> bool:
    if isinstance(annotation, str):  # from __future__ import annotations; names for mypy alone are jaxtyping's
        return any(_is_shape(names.get(word, _DTYPES.get(word)), names) for word in _WORDS.findall(annotation))
    if isinstance(annotation, type) and issubclass(annotation, AbstractArray | AbstractDtype):
        return True
    return any(_is_shape(part, names) for part in get_args(annotation) if not isinstance(part, str))
