"""Models of each task that starts somewhere and ends better, on three seeds."""

import pytest

from terse.recipe import load_recipe
from terse.run import train

pytestmark = pytest.mark.slow
every_seed = pytest.mark.parametrize("seed", [0, 1, 2])


@every_seed
def test_a_network_of_segmentation_starts_at_a_third_and_gains_a_twentieth(seed: int) -> None:
    ends = train(load_recipe("shapes-segmentation", [f"seed={seed}"]))["metrics"]
    assert ends["start"]["miou"] >= 0.3
    assert ends["end"]["miou"] >= ends["start"]["miou"] + 0.05


@every_seed
def test_a_regressor_starts_with_a_third_within_its_tolerance_and_gains_a_twentieth(seed: int) -> None:
    ends = train(load_recipe("shapes-regression", [f"seed={seed}"]))["metrics"]
    assert ends["start"]["within"] >= 0.3
    assert ends["end"]["within"] >= ends["start"]["within"] + 0.05
    assert ends["end"]["mean_error"] < ends["start"]["mean_error"]
