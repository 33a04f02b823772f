"""Errors travel from a worker to the process that began it, with their words and what they carry."""

import pickle

import pytest

from terse.errors import DataError, Diverged, MissingExtra, TerseError


@pytest.mark.parametrize(
    "error",
    [DataError("a: expected b, got c"), Diverged("target", 7, "nan", "runs/a/state"), MissingExtra("ray", "ray")],
)
def test_errors_can_be_sent(error: TerseError) -> None:
    there = pickle.loads(pickle.dumps(error))
    assert type(there) is type(error)
    assert str(there) == str(error)
    assert vars(there) == vars(error)
