"""A run, a set and a paste are the same whatever their caller has set in torch, who has it back."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from terse.black_box import go_on
from terse.check.check import check_data, check_recipe
from terse.data import CompositeDataset
from terse.errors import TerseError
from terse.folders import sha256_of
from terse.generate import GenerateSettings, generate, of_run, render
from terse.init.make import make_recipe
from terse.poses import AffinePoses
from terse.progress import Observer
from terse.proof.prove import prove
from terse.recipe import load_recipe
from terse.report.preview import preview
from terse.run import evaluate, open_run, train
from terse.sources.run_data import RunData
from terse.transforms import Paste

SCENES = ["data={kind: shapes, train: 12, val: 6, test: 6, backgrounds: 6}"]


@contextmanager
def settings_of_a_caller() -> Iterator[None]:
    """Everything at once; `meta` stands for a device whose tensors are not the CPU's."""
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
            yield
            assert torch.get_default_dtype() == torch.float64
            assert torch.get_default_device().type == "meta"
            assert torch.is_inference_mode_enabled()
            assert torch.is_autocast_enabled("cpu")
            assert not torch.is_grad_enabled()
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("caller") / "run"
    train("quickstart", settings(), out=folder)
    return folder


def settings() -> list[str]:
    few = "{per_cycle: 20, candidates: 200}"
    sizes = ["data.train=100", "data.val=20", "data.test=20", f"pool={few}", "synthesis.steps=4"]
    return [*sizes, "cycles=1", "pretrain.epochs=1", "fine_tune.epochs=1", "hardness.above=0", "runtime.threads=1"]


def test_a_run_is_the_same(run: Path, tmp_path: Path) -> None:
    with settings_of_a_caller():
        train("quickstart", settings(), out=tmp_path / "run")
    assert sha256_of(tmp_path / "run" / "target.pth") == sha256_of(run / "target.pth")


def test_runs_of_two_threads_are_the_same(run: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda out: train("quickstart", settings(), out=out), folders))
    assert {sha256_of(folder / "target.pth") for folder in folders} == {sha256_of(run / "target.pth")}


def test_what_is_made_of_a_run_is_the_same(run: Path, tmp_path: Path) -> None:
    def made(name: str) -> list[Any]:
        out = tmp_path / name
        generate(of_run(run), GenerateSettings(count=2), out / "set", workers=0)
        render(run / "pool", out / "again", workers=0)
        preview(load_recipe("shapes", SCENES), out / "sheet.png", 2)
        files = [out / "set" / "placements.parquet", out / "again" / "annotations.json", out / "sheet.png"]
        images = sorted((out / "again").glob("images/*"))
        recipe, _, pool = open_run(run)
        return [*map(sha256_of, files), *map(sha256_of, images), len(pool), evaluate(recipe, run / "target.pth")]

    expected = made("ordinary")
    with settings_of_a_caller():
        assert made("other") == expected


def test_items_of_a_dataset_and_pastes_are_the_same() -> None:
    def made() -> list[list[Tensor]]:
        data = CompositeDataset("shapes", SCENES, length=4)
        torch.manual_seed(3)
        rows = [data[k] for k in range(3)]
        poses = AffinePoses((-45, 45), (-1, 1), (0, 0), (0.2, 0.6))
        batches = [rows, *(zip(*paste(*zip(*rows, strict=True)), strict=True) for paste in (Paste(), Paste(poses)))]
        return [
            [image, *(value for value in target.values() if isinstance(value, Tensor))]
            for batch in batches
            for image, target in batch
        ]

    expected = made()
    with settings_of_a_caller():
        found = made()
    for one, other in zip(found, expected, strict=True):
        for value, before in zip(one, other, strict=True):
            assert value.dtype == before.dtype
            assert torch.equal(value, before)


def mistaken_calls(folder: Path) -> dict[str, Callable[[Any], object]]:
    """Every job of Python's that an observer may watch."""
    recipe = load_recipe("quickstart")
    settings = GenerateSettings(count=2)
    return {
        "train": lambda observer: train("quickstart", out=folder, observer=observer),
        "prove": lambda observer: prove("quickstart", out=folder, observer=observer),
        "generate": lambda observer: generate(recipe, settings, folder, observer=observer),
        "render": lambda observer: render(folder / "placements.parquet", folder / "set", observer=observer),
        "preview": lambda observer: preview(recipe, folder / "picture.png", 2, observer),
        "check_recipe": lambda observer: check_recipe(recipe, "quickstart", observer=observer),
        "check_data": lambda observer: check_data({"images": str(folder)}, "data", observer=observer),
        "go_on": lambda observer: go_on(folder, 2, "weights.pth", observer=observer),
        "make_recipe": lambda observer: make_recipe({}, folder / "recipe.yaml", observer=observer),
    }


@pytest.mark.parametrize("job", mistaken_calls(Path()))
def test_what_is_no_observer_is_refused_before_anything_is_written(job: str, tmp_path: Path) -> None:
    call = mistaken_calls(tmp_path / "new")[job]
    with pytest.raises(
        TerseError, match=r"observer: expected an object, got the class Observer; for example Observer\(\)"
    ):
        call(Observer)
    with pytest.raises(
        TerseError, match=r"observer: expected a terse.progress.Observer, got builtin_function_or_method; subclass it"
    ):
        call(print)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("data", "got"), [([1], "list"), (RunData, "the class RunData")])
def test_what_is_no_run_data_is_refused(data: Any, got: str, tmp_path: Path) -> None:
    for job in (train, prove):
        with pytest.raises(TerseError, match=f"data: expected a terse.RunData, got {got}"):
            job("quickstart", out=tmp_path / "new", data=data)
    assert not (tmp_path / "new").exists()
