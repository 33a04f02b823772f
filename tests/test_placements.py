"""The record of composites: taking, joining and keeping it loses no field, one that is added later included."""

from dataclasses import dataclass, field, fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terse.errors import RunError
from terse.placements import Placements, Role


def example(cls=Placements, **more):
    """Three images: two pastes, a paste over an artefact patch, and none. No value stands twice in a field."""
    return cls(
        background=np.array([2, 0, 1]),
        image_index=np.array([0, 0, 1, 1]),
        foreground=np.array([4, 1, 3, 0]),
        pose=np.round(np.random.default_rng(0).normal(size=(4, 6)), 5),
        role=np.array([Role.OBJECT, Role.DISTRACTOR, Role.ARTEFACT, Role.OBJECT], dtype=np.int64),
        texture=np.array([-1, -1, 2, -1]),
        blend=("alpha", "poisson", "box"),
        seed=np.array([7, 8, 9]),
        number=np.array([10, 20, 30]),
        size_px=np.array([[64, 48], [65, 49], [66, 50]]),
        image_pose=np.array([[0.5], [0.25], [0.125]]),
        cycle=np.array([1, 2, 3]),
        label=np.array([0, 3, 2]),
        hardness=np.array([0.5, 0.25, 1.0]),
        hard=np.array([True, False, True]),
        **more,
    )


def equal(a, b):
    """Every field, of the classes' own."""
    assert type(a) is type(b)
    for one in fields(a):
        np.testing.assert_array_equal(getattr(a, one.name), getattr(b, one.name), one.name)
    return True


@given(st.lists(st.integers(0, 2), max_size=6))
def test_taking_images_takes_their_pastes(chosen):
    placements = example()
    taken = placements.take(np.array(chosen, dtype=np.int64))
    assert len(taken) == len(chosen)
    alone = [placements.take(np.array([i])) for i in chosen]
    if alone:
        assert equal(taken, Placements.join(alone))
        assert taken.foreground.tolist() == [f for a in alone for f in a.foreground.tolist()]


def test_what_is_not_known_is_filled():
    pose = np.zeros((2, 6))
    placements = Placements.single(np.array([0, 1]), np.array([1, 0]), pose)
    assert (placements.cycle.tolist(), placements.label.tolist()) == ([-1, -1], [-1, -1])
    assert np.isnan(placements.hardness).all()
    assert not placements.hard.any()
    assert placements.image_pose.shape == (2, 0)
    assert placements.size_px.tolist() == [[-1, -1], [-1, -1]]
    assert Placements.join([placements, placements]).number.tolist() == [-1] * 4
    assert Placements.empty(6).pose.shape == (0, 6)


def test_pastes_go_under_those_of_the_same_images():
    below, above = example().keep(np.array([2])), example().keep(np.array([1, 3]))
    assert len(below) == 3
    whole = below.under(above)
    assert whole.image_index.tolist() == [0, 1, 1]
    assert whole.foreground.tolist() == [1, 3, 0]
    assert whole.role.tolist() == [Role.DISTRACTOR, Role.ARTEFACT, Role.OBJECT]


def test_a_state_is_read_as_it_was_and_of_its_own_format_only():
    placements = example()
    assert equal(Placements.from_state(placements.state()), placements)
    with pytest.raises(RunError) as error:
        Placements.from_state({**placements.state(), "format": 7})
    assert str(error.value) == (
        "state: expected placements of format 1, got 7; go on with the version of terse that the run was begun with"
    )


@dataclass(frozen=True, slots=True)
class More(Placements):
    """A field an image and a field a paste, as somebody may add them."""

    wind: np.ndarray = field(default_factory=lambda: None, metadata={"per": "image", "missing": -1.0})
    lamp: np.ndarray = field(default_factory=lambda: None, metadata={"per": "paste", "missing": 0})


def test_a_new_field_is_taken_joined_and_kept_without_another_edit():
    more = example(More, wind=np.array([0.1, 0.2, 0.3]), lamp=np.array([5, 6, 7, 8]))
    taken = more.take(np.array([1, 0]))
    assert (taken.wind.tolist(), taken.lamp.tolist()) == ([0.2, 0.1], [7, 8, 5, 6])
    joined = More.join([more, taken])
    assert (joined.wind.tolist(), joined.lamp.tolist()) == ([0.1, 0.2, 0.3, 0.2, 0.1], [5, 6, 7, 8, 7, 8, 5, 6])
    assert more.keep(np.array([1, 2])).lamp.tolist() == [6, 7]
    above = replace(more.keep(np.array([0])), wind=np.array([1.0, 2.0, 3.0]))
    both = more.keep(np.array([3])).under(above)
    assert (both.wind.tolist(), both.lamp.tolist()) == ([1, 2, 3], [5, 8])
    assert equal(More.from_state(more.state()), more)
    assert example(More).lamp.tolist() == [0] * 4
