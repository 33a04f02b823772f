"""A device that runs out of memory: batches are taken in pieces, and the run goes on."""

import pytest
import torch
from torch import nn

from killing import Killed, KillIn, lasting
from terse.errors import RunError
from terse.progress import Observer
from terse.recipe import load_recipe
from terse.run import open_session, train
from terse.training.checkpoint import read_checkpoint
from terse.training.memory import Memory
from terse.types import Truth


class Listens(Observer):
    def __init__(self):
        self.said = []

    def say(self, message):
        self.said.append(message)


def cramped(call, most):
    """The call on a device that holds so many images; it fails after its work is done, as a GPU may."""

    def run(images, *rest):
        result = call(images, *rest)
        if len(images) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
        return result

    return run


def counted(call):
    """The loss with the number of images that it is a mean over."""
    return lambda images, truth: (call(images, truth), float(len(images)))


def truth_of(images):
    return Truth.of_images(torch.zeros(len(images), dtype=torch.int64))


def test_pieces_add_up_to_the_gradients_of_the_batch():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 2), nn.Tanh(), nn.Linear(2, 1)).double()
    images = torch.randn(7, 3, 4, 4, dtype=torch.float64)

    def loss(some, truth):
        assert truth.batch_size == len(some)
        return module(some).square().mean()

    whole = torch.autograd.grad(2 * loss(images, truth_of(images)), list(module.parameters()))
    said = []
    memory = Memory(said.append)
    mean, count = memory.mean("target", cramped(counted(loss), 2), module, images, truth_of(images))
    found = 2 * mean
    assert count == 7
    assert found.item() == pytest.approx(2 * loss(images, truth_of(images)).item())
    for wanted, got in zip(whole, torch.autograd.grad(found, list(module.parameters())), strict=True):
        torch.testing.assert_close(got, wanted)
    assert said == [
        "target: out of memory with 7 images at once; going on with 3 at once, and 7 a step as before",
        "target: out of memory with 3 images at once; going on with 1 at once, and 7 a step as before",
    ]
    assert memory.state() == {"target": 1}


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(12, 1), nn.Linear(12, 1)

    def forward(self, images):
        return self.used(images.flatten(1))


def test_what_the_loss_does_not_use_has_no_gradient_in_pieces_either():
    module, images = TwoHeads(), torch.randn(4, 3, 2, 2)
    before = module.unused.weight.detach().clone()
    memory = Memory(lambda _: None)
    memory.restore({"target": 2})
    mean, _ = memory.mean("target", counted(lambda some, truth: module(some).mean()), module, images, truth_of(images))
    mean.backward()
    assert module.used.weight.grad.abs().sum() > 0
    assert module.unused.weight.grad is None
    torch.optim.Adam(module.parameters(), lr=0.1, weight_decay=0.1).step()
    assert torch.equal(module.unused.weight, before)


@pytest.mark.parametrize(("count", "size", "pieces"), [(33, 32, 2), (17, 8, 3), (9, 4, 3), (64, 32, 2), (5, 8, 1)])
def test_no_image_is_left_alone_in_a_piece(count, size, pieces):
    module, images, seen = nn.BatchNorm1d(12), torch.randn(count, 3, 2, 2), []

    def loss(some, truth):
        seen.append(len(some))
        return module(some.flatten(1)).square().mean()

    memory = Memory(lambda _: None)
    memory.restore({"target": size})
    memory.mean("target", counted(loss), module, images, truth_of(images))
    assert sum(seen) == count
    assert len(seen) == pieces
    assert 1 < min(seen) <= max(seen) <= size


def test_pieces_of_rows_add_up_to_the_gradients_of_the_pixels():
    images = torch.randn(5, 3, 4, 4, dtype=torch.float64, requires_grad=True)

    def loss(some, truth):
        return some.square().mean(dim=(1, 2, 3)).sin()

    weights = torch.arange(5.0, dtype=torch.float64)
    wanted = torch.autograd.grad((weights * loss(images, None)).sum(), images)[0]
    found = Memory(lambda _: None).rows("synthesizer", cramped(loss, 2), images, truth_of(images))
    torch.testing.assert_close(found, loss(images, None))
    torch.testing.assert_close(torch.autograd.grad((weights * found).sum(), images)[0], wanted)


def test_a_failed_try_leaves_no_trace_in_buffers_and_random_numbers():
    module = nn.BatchNorm2d(3)
    images = torch.randn(4, 3, 2, 2)

    def loss(some, truth):
        return (module(some) * torch.rand(len(some), 1, 1, 1)).square().mean()

    torch.manual_seed(1)
    first = Memory(lambda _: None)
    first.restore({"target": 2})
    wanted, _ = first.mean("target", counted(loss), module, images, truth_of(images))
    means = module.running_mean.clone()
    module.reset_running_stats()
    torch.manual_seed(1)
    found, _ = Memory(lambda _: None).mean("target", cramped(counted(loss), 2), module, images, truth_of(images))
    assert torch.equal(found, wanted)
    assert torch.equal(module.running_mean, means)
    assert module.num_batches_tracked == 2


def test_one_image_that_does_not_fit_is_said():
    module = nn.Linear(2, 1)
    with pytest.raises(RunError) as caught:
        Memory(lambda _: None).mean(
            "target",
            cramped(counted(lambda some, truth: module(some).mean()), 0),
            module,
            torch.zeros(3, 3, 2, 2),
            truth_of(torch.zeros(3)),
        )
    assert str(caught.value) == (
        "runtime.device: expected memory for one image of the target's step, got: "
        "CUDA out of memory. Tried to allocate 2.00 GiB.; a smaller canvas_px or a smaller model needs less"
    )


@pytest.fixture
def small_device(monkeypatch):
    """The quickstart's target fits with 20 images at once when it trains, with 40 when it is attacked."""
    from terse.targets.classifier.target import ClassificationTarget

    monkeypatch.setattr(ClassificationTarget, "train_loss", _limited(ClassificationTarget.train_loss, 20))
    monkeypatch.setattr(ClassificationTarget, "evidence", _limited(ClassificationTarget.evidence, 40))


def _limited(method, most):
    def run(self, images, truth):
        result = method(self, images, truth)
        if len(images) > most and images.requires_grad | self.module.training:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return result

    return run


def test_a_run_on_a_small_device_goes_on_and_resumes(small, tmp_path, small_device):
    recipe = load_recipe("quickstart", [*small, "synthesis.batch_size=64"])
    listens = Listens()
    whole = lasting(train(recipe, out=tmp_path / "whole", observer=listens))
    told = [line for line in listens.said if "out of memory" in line]
    assert [line.partition(":")[0] for line in told] == ["target", "target", "synthesizer"]
    assert read_checkpoint(tmp_path / "whole" / "state")[1]["memory"] == {"target": 16, "synthesizer": 32}
    with pytest.raises(Killed):
        train(recipe, out=tmp_path / "run", observer=KillIn(1, "target", 4))
    session = open_session(recipe, tmp_path / "run", resume=True)
    assert session.memory.state() == {"target": 16, "synthesizer": 32}
    assert lasting(train(recipe, out=tmp_path / "run", resume=True)) == whole
    names = ("metrics.jsonl",)
    assert all((tmp_path / "run" / n).read_bytes() == (tmp_path / "whole" / n).read_bytes() for n in names)


def test_other_steps_that_run_out_of_memory_get_a_sentence(monkeypatch, capsys):
    from terse.cli.main import main

    def full(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr("terse.run.train", full)
    with pytest.raises(SystemExit) as ended:
        main(["train", "quickstart"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "terse: runtime.device: expected enough memory, got: CUDA out of memory; "
        "smaller batches or a smaller canvas_px need less"
    )
