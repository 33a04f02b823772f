"""The power fails at any moment: what is left on the disk goes on to the right result."""

import random
from concurrent.futures import Future

import pytest

from drawn_sets import files_of
from killing import lasting
from power_cuts import Disk, rebuild
from terse.generate import generate
from terse.generate.settings import GenerateSettings
from terse.pictures.page_folder import read_page
from terse.recipe import load_recipe
from terse.results import read_run
from terse.run import open_run, train

pytestmark = pytest.mark.usefixtures("unchecked")  # the same runs as elsewhere, many times

FORMATS = ("coco", "voc", "yolo", "webdataset")


def some(cuts, share):
    """A part of them, drawn with a seed; the last ones always."""
    cuts = list(cuts)
    chosen = random.Random(1).sample(range(len(cuts)), max(1, int(share * len(cuts))))
    return [cuts[k] for k in sorted({*chosen, len(cuts) - 1})]


class InTurn:
    """Calls when it is asked to, so that the moments of two runs are the same."""

    def __init__(self, threads):
        pass

    def submit(self, call):
        future = Future()
        future.set_result(call())
        return future

    def shutdown(self):
        pass


def set_after_every_cut(recipe, form, tmp_path, monkeypatch, share):
    """Make a set, then go on from what every power cut left; how many there were."""
    root = tmp_path / "disk"
    root.mkdir()

    def make(*, resume):
        settings = GenerateSettings(count=5, shard_images=2, format=form)
        generate(recipe, settings, root / "set", workers=0, resume=resume)

    disk = Disk(root)
    monkeypatch.setattr("terse.generate.settling.ThreadPoolExecutor", InTurn)
    with disk.watch(monkeypatch):
        make(resume=False)
    whole = files_of(root)
    chosen = some(disk.after_power_cuts(), share)
    for name, tree in chosen:
        rebuild(tree, root)
        if (root / "set" / "manifest.json").exists():
            assert {path: data for path, data in files_of(root).items() if ".parts" not in path} == whole, name
        make(resume=True)
        assert files_of(root) == whole, name
    return len(chosen)


def test_a_set_after_a_power_cut(tmp_path, monkeypatch, labelled):
    assert set_after_every_cut(labelled, "coco", tmp_path, monkeypatch, 0.15) > 5


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_a_set_after_every_power_cut(tmp_path, monkeypatch, labelled, form):
    assert set_after_every_cut(labelled, form, tmp_path, monkeypatch, 1) > 50


def run_after_every_cut(small, tmp_path, monkeypatch, share):
    """Train, then go on from what every power cut left; how many there were."""
    recipe, root = load_recipe("quickstart", [*small, "synthesis.harvest=after"]), tmp_path / "disk"
    root.mkdir()
    disk = Disk(root)
    with disk.watch(monkeypatch):
        whole = lasting(train(recipe, out=root / "run"))
    lines = (root / "run" / "metrics.jsonl").read_bytes()
    chosen = some(disk.after_power_cuts(), share)
    for name, tree in chosen:
        rebuild(tree, root)
        begun = (root / "run" / "recipe.yaml").exists()
        if (root / "run" / "result.json").exists():
            read_run(root / "run")
        assert lasting(train(recipe, out=root / "run", resume=begun)) == whole, name
        assert (root / "run" / "metrics.jsonl").read_bytes() == lines, name
        open_run(root / "run")
        read_page(root / "run")
    return len(chosen)


def test_a_run_after_a_power_cut(tmp_path, monkeypatch, small):
    assert run_after_every_cut(small, tmp_path, monkeypatch, 0.02) > 3


@pytest.mark.slow
def test_a_run_after_every_power_cut(tmp_path, monkeypatch, small):
    assert run_after_every_cut(small, tmp_path, monkeypatch, 1) > 50
