"""How many threads a batch is computed with."""

from collections.abc import Iterator

import pytest
import torch

from terse.recipe import RuntimeConfig
from terse.training import engine as module
from terse.training.engine import Engine


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "usable_cores", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("precision", "images", "side_px", "learns", "threads"),
    [
        ("float32", 32, 40, True, 1),  # too short to share
        ("float32", 512, 40, True, 4),
        ("bfloat16", 512, 40, True, 1),  # threads would spin, image by image
        ("bfloat16", 512, 40, False, 4),
        ("bfloat16", 8, 300, True, 4),
    ],
)
def test_threads_of_a_batch(precision: str, images: int, side_px: int, learns: bool, threads: int) -> None:
    engine = Engine(RuntimeConfig(device="cpu", precision=precision))
    if learns:
        engine.use_threads_to_learn(images, side_px)
    else:
        engine.use_threads(images * side_px**2)
    assert torch.get_num_threads() == threads


def test_the_recipe_and_the_environment_overrule_it(monkeypatch: pytest.MonkeyPatch) -> None:
    Engine(RuntimeConfig(device="cpu", threads=3)).use_threads(1)
    assert torch.get_num_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    Engine(RuntimeConfig(device="cpu")).use_threads(1)
    assert torch.get_num_threads() == 2
