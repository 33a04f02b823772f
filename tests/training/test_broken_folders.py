"""A run's folder that the disk, a person or a kill has changed: nothing is thrown away or trusted in silence."""

import shutil

import pytest
import torch
from torch import nn

from killing import Killed, KillIn, lasting
from terse.errors import DataError, MissingExtra, RunError, TerseError
from terse.progress import Observer
from terse.recipe import load_recipe
from terse.run import open_run, train
from terse.tensors import read_tensors

pytestmark = pytest.mark.usefixtures("unchecked")  # the same runs as elsewhere, many times


class Listens(Observer):
    def __init__(self):
        self.said = []

    def say(self, message):
        self.said.append(message)


@pytest.fixture(scope="module")
def recipe(small):
    return load_recipe("quickstart", [*small, "synthesis.harvest=after"])


@pytest.fixture(scope="module")
def stopped(recipe, tmp_path_factory):
    """The folder of a run that was killed in its second cycle."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.raises(Killed):
        train(recipe, out=folder, observer=KillIn(2, "target", 4))
    return folder


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    """What the run finds that nobody stops, and its folder."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return lasting(train(recipe, out=folder)), folder


@pytest.fixture
def run(stopped, tmp_path):
    """A copy to break."""
    return shutil.copytree(stopped, tmp_path / "run")


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= 1
    path.write_bytes(data)


def test_a_flipped_bit_of_the_state_falls_back_and_is_told(recipe, whole, run):
    flip(run / "state" / "checkpoint.pth", 0.5)
    listens = Listens()
    assert lasting(train(recipe, out=run, resume=True, observer=listens)) == whole[0]
    told = [line for line in listens.said if line.startswith("state: ")]
    assert len(told) == 1
    assert told[0].endswith(f"going on from the one before it, {run / 'state' / 'previous.pth'}")


def test_a_run_without_a_whole_state_is_not_thrown_away(recipe, run):
    for name in ("checkpoint.pth", "previous.pth"):
        flip(run / "state" / name, 0.5)
    before = (run / "metrics.jsonl").read_bytes()
    with pytest.raises(
        RunError, match=r"expected a state to go on with, got none that is whole: .*; begin anew by `restart`, "
    ):
        train(recipe, out=run, resume=True)
    shutil.rmtree(run / "state")
    with pytest.raises(
        RunError, match=r"state: expected the state of the run that wrote cycle-000[12].parquet, got none"
    ):
        train(recipe, out=run, resume=True)
    assert (run / "metrics.jsonl").read_bytes() == before


def test_a_run_goes_on_under_a_version_that_knows_more_settings(recipe, whole, run):
    written = run / "recipe.yaml"
    older = [line for line in written.read_text().splitlines() if not line.startswith(("  spare:", "keep:"))]
    assert len(older) == len(written.read_text().splitlines()) - 2
    written.write_text("\n".join(older) + "\n")
    assert lasting(train(recipe, out=run, resume=True)) == whole[0]


def test_restart_begins_anew_and_leaves_other_files_alone(recipe, whole, run):
    (run / "state" / "checkpoint.pth").unlink()
    (run / "state" / "previous.pth").unlink()
    with pytest.raises(RunError, match=r"expected it or resume, got both"):
        train(recipe, out=run, resume=True, restart=True)
    (run / "notes.txt").write_text("mine")
    before = (run / "metrics.jsonl").read_bytes()
    with pytest.raises(RunError, match=r"expected a new or empty folder, got one with files in it"):
        train(recipe, out=run, restart=True)
    assert (run / "metrics.jsonl").read_bytes() == before  # nothing was removed before it was refused
    (run / "notes.txt").unlink()
    assert lasting(train(recipe, out=run, restart=True)) == whole[0]


def test_restart_removes_nothing_where_no_run_is(recipe, tmp_path):
    (tmp_path / "photos" / "pool").mkdir(parents=True)
    with pytest.raises(RunError, match=r"expected a folder with a run to begin anew, got one without recipe.yaml"):
        train(recipe, out=tmp_path / "photos", restart=True)
    assert (tmp_path / "photos" / "pool").is_dir()


class Mute(nn.Module):
    """A classifier of the drawn digits whose logits are no numbers."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 10)

    def forward(self, images):
        return self.layer(images[:, :1, 0, 0]) * torch.nan


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("settings", "model", "said"),
    [
        (["target.weights=/nope.pth"], None, "/nope.pth: expected a file of weights, got none"),
        (
            ["runtime.track=[mlflow]"],
            None,
            str(MissingExtra("runtime.track: mlflow", "tracking")),
        ),
        (
            [],
            Mute,
            "target.predict: expected ClassificationTarget to give probabilities, got NaN or infinity; look at its "
            "weights and at how it normalises",
        ),
    ],
)
def test_restart_keeps_the_old_run_where_the_new_one_is_refused(
    whole, small, tmp_path, monkeypatch, settings, model, said
):
    monkeypatch.setattr("terse.tracking.find_spec", lambda name: None)
    folder = shutil.copytree(whole[1], tmp_path / "run")
    before = contents(folder)
    with pytest.raises(TerseError) as caught:
        train("quickstart", [*small, *settings], out=folder, restart=True, target=model and model())
    assert str(caught.value) == said
    assert contents(folder) == before


def test_restart_does_not_remove_what_the_new_run_reads(whole, small, tmp_path):
    folder = shutil.copytree(whole[1], tmp_path / "run")
    before = contents(folder)
    with pytest.raises(RunError) as caught:
        train("quickstart", [*small, f"target.weights={folder}/target.pth"], out=folder, restart=True)
    assert str(caught.value) == (
        f"target.weights: expected a file that restart leaves, got {folder}/target.pth of the old run; copy it, or give `out` "
        "another"
    )
    assert contents(folder) == before


def test_a_folder_killed_before_its_recipe_stood_there_can_be_used(recipe, whole, tmp_path):
    for resume in (False, True):
        folder = tmp_path / f"run-{resume}"
        folder.mkdir()
        (folder / "recipe.yaml.tmp").write_text("half a rec")
        assert lasting(train(recipe, out=folder, resume=resume)) == whole[0]


def test_a_run_killed_before_its_first_state_begins_and_says_so(recipe, whole, tmp_path):
    with pytest.raises(Killed):
        train(recipe, out=tmp_path / "run", observer=KillIn(0, "pretrain", 1))
    listens = Listens()
    assert lasting(train(recipe, out=tmp_path / "run", resume=True, observer=listens)) == whole[0]
    assert f"{tmp_path / 'run'}: the run was stopped before its first state was written; it begins" in listens.said


def test_a_changed_shard_is_refused(recipe, run):
    path = run / "pool" / "cycle-0001.parquet"
    flip(path, 0.4)
    with pytest.raises(
        RunError, match=r"cycle-0001.parquet: expected the file that was written \(SHA-256 .*got other bytes"
    ):
        train(recipe, out=run, resume=True)


def test_data_that_changed_are_noticed(recipe, run):
    fewer = load_recipe("quickstart", [])  # only to name the field in the message
    assert fewer.data is not None
    changed = recipe.model_copy(update={"data": recipe.data.model_copy(update={"val": 21})})
    text = (run / "recipe.yaml").read_text().replace("val: 20", "val: 21")
    (run / "recipe.yaml").write_text(text)
    with pytest.raises(RunError, match=r"val: expected the images that the run began with, got 21 instead of 20"):
        train(changed, out=run, resume=True)


@pytest.mark.parametrize("name", ["target.pth", "pool/cycle-0002.parquet"])
def test_a_finished_run_whose_files_changed_is_refused(whole, tmp_path, name):
    run = shutil.copytree(whole[1], tmp_path / "run")
    open_run(run)
    flip(run / name, 0.5)
    with pytest.raises(RunError, match=rf"{name}: expected the file that was written"):
        open_run(run)


def test_no_flipped_bit_of_a_file_of_tensors_is_believed(tmp_path):
    import random

    import torch

    path, wanted = tmp_path / "w.pth", {"w": torch.arange(300.0), "n": 3, "facts": '{"a": 1}'}
    torch.save(wanted, path)
    whole, random_bits = path.read_bytes(), random.Random(0)
    refused = 0
    for _ in range(300):
        data, bit = bytearray(whole), random_bits.randrange(8 * len(whole))
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        try:
            read = read_tensors(path, bounded=True)
        except DataError:
            refused += 1
            continue
        assert torch.equal(read["w"], wanted["w"])
        assert (read["n"], read["facts"]) == (3, wanted["facts"])
    assert refused > 150


def test_a_small_file_that_unpacks_to_gigabytes_is_refused(tmp_path):
    import zipfile

    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("bomb/data/0", "w") as stream:
        for _ in range(100):
            stream.write(bytes(1 << 20))
    with pytest.raises(
        DataError, match=r"expected tensors of at most 20 times the file's size, got 100 MB in a file of 99 kB"
    ):
        read_tensors(path, bounded=True)
