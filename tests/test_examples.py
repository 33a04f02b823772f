"""The examples run: a detector of one's own in the loop, and a black box with its trainer outside."""

import importlib
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[1] / "examples"
FEW = (
    "data={kind: shapes, train: 12, val: 6, test: 6, backgrounds: 6}",
    "pretrain.epochs=1",
    "fine_tune.epochs=1",
    "synthesis.steps=2",
    "cycles=1",
    "pool={per_cycle: 6, candidates: 24}",
    "hardness={kind: probability, below: 1}",  # a start this young is sure of nothing
)


@pytest.fixture
def example(monkeypatch):
    """An example by name, imported as a user runs it: from its own folder."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module


def test_a_detector_of_ones_own_goes_through_the_loop(example):
    result = example("own_detector").main(*FEW)
    assert [row["samples"] > 0 for row in result["cycles"]] == [True]


def test_the_strangers_loss_of_a_sliver_between_its_cells_is_a_number(example):
    stranger = example("stranger")
    maps = {"heat": torch.zeros(1, 3, 8, 8), "side": torch.ones(1, 4, 8, 8)}
    sliver = torch.tensor([[3.9, 3.9, 4.0, 20.0]])  # 2 px from the nearest centre of a cell
    assert stranger.loss(maps, [sliver], [torch.tensor([1])]).isfinite()


@pytest.mark.slow
def test_a_detector_of_ones_own_gets_better(example):
    metrics = example("own_detector").main()["metrics"]
    assert metrics["end"]["ap50"] > metrics["start"]["ap50"] + 0.05


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the exporter's own
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_black_box_gets_better_by_its_own_trainer(example, tmp_path, seed):
    figures = example("black_box").main(tmp_path, seed=seed)
    assert len(figures) == 3
    assert max(figures[1:]) > figures[0] + 0.05
    assert (tmp_path / "run" / "page" / "page.json").is_file()
