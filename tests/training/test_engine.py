"""How many threads a batch is computed with."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from terse.errors import RecipeError
from terse.progress import Observer
from terse.recipe import load_recipe
from terse.recipe_parts import RuntimeConfig
from terse.run import evaluate, train
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


@pytest.mark.parametrize(("said", "threads"), [("3,2", 3), (" 2 ", 2), ("", 1), ("many", 1)])
def test_the_environment_is_read_as_openmp_reads_it(said: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    Engine(RuntimeConfig(device="cpu")).use_threads(1)
    assert torch.get_num_threads() == threads


def test_a_machine_without_a_device_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(RecipeError) as told:
        Engine(RuntimeConfig(device="mps"))
    assert str(told.value) == "runtime.device: expected an MPS device to be there, got 'mps'; use cpu or auto"


@pytest.mark.parametrize("fails", [False, True])
def test_a_run_gives_its_process_threads_and_random_numbers_back(fails: bool, small: list[str]) -> None:
    class Looks(Observer):
        def cycle(self, row: Mapping[str, Any]) -> None:
            seen.append(torch.get_num_threads())
            if fails:
                raise ZeroDivisionError

    seen: list[int] = []
    torch.set_num_threads(1)
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError) if fails else nullcontext():
        train("quickstart", [*small, "cycles=1", "runtime.threads=2"], observer=Looks())
    assert (seen[0], torch.get_num_threads()) == (2, 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_is_measured_again_as_its_run_measured_it(small: list[str], tmp_path: Path) -> None:
    settings = [*small, "cycles=0", "runtime.precision=bfloat16", "runtime.threads=2"]
    result = train("quickstart", settings, out=tmp_path / "run")
    torch.set_num_threads(1)
    before, dtypes, threads = torch.get_rng_state(), set(), set()

    def look(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            dtypes.add(output.dtype)
            threads.add(torch.get_num_threads())

    with torch.nn.modules.module.register_module_forward_hook(look):
        found = evaluate(load_recipe("quickstart", settings), tmp_path / "run" / "target.pth")
    assert found == result["metrics"]["end"]
    assert found == evaluate(tmp_path / "run" / "recipe.yaml", str(tmp_path / "run" / "target.pth"))
    assert torch.bfloat16 in dtypes
    assert threads == {2}
    assert torch.get_num_threads() == 1
    assert torch.equal(torch.get_rng_state(), before)
