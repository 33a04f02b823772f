"""Shapes in signatures of functions and dataclasses are checked while tests run; what has none is left alone."""

import pytest
import torch
from jaxtyping import TypeCheckError

from terse.compositing.warp import warp
from terse.placements import Placements
from terse.training.engine import Engine
from terse.types import Truth


def test_a_wrong_shape_is_refused_of_functions_and_dataclasses_and_may_pass_unchecked(request):
    image, pose = torch.zeros(2, 3, 8, 8), torch.zeros(3, 2, 3)
    with pytest.raises(TypeCheckError):
        warp(image, pose, (8, 8))
    one, no = torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.bool)
    with pytest.raises(TypeCheckError):
        Truth(one, torch.zeros(2, 4), one, no, no, 1)  # two boxes of one object
    request.getfixturevalue("unchecked")
    Truth(one, torch.zeros(2, 4), one, no, no, 1)


def test_only_what_has_shapes_is_wrapped():
    assert all(hasattr(one, "__wrapped__") for one in (warp, Truth.__init__, Placements.__init__))
    assert not hasattr(Engine.use_threads, "__wrapped__")
