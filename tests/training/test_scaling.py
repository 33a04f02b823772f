"""float16: gradients found at a scale and brought down again, steps that do not count, and runs that go on with the same scale."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from killing import Killed, KillIn, lasting
from terse.errors import Diverged, RecipeError
from terse.objectives import RealismWeight, SynthesizerLoss, clip_composites
from terse.recipe import load_recipe
from terse.recipe_parts import OptimizerConfig, RuntimeConfig
from terse.run import open_session, train
from terse.training.checkpoint import read_checkpoint
from terse.training.engine import Engine
from terse.training.memory import Memory
from terse.training.optimizers import optimizer_maker
from terse.training.phases import synthesizer_phase
from terse.training.realism import warm_up_phase
from terse.training.scaling import LEAST_SCALE
from terse.types import Truth

OPTIMIZERS = {
    "sgd": OptimizerConfig(name="sgd", lr=0.1, momentum=0.9, weight_decay=0.01, max_grad_norm=0.5),
    "adam": OptimizerConfig(name="adam", lr=0.1, weight_decay=0, max_grad_norm=0.5),
}
CPU = torch.device("cpu")


def engine_of(precision):
    return Engine(RuntimeConfig(device="cpu", precision=precision))


def player():
    torch.manual_seed(0)
    return nn.Linear(4, 3)


def loss_of(module, batch, times=1.0):
    return module(torch.linspace(-1, 1, 8).reshape(2, 4) * (batch + 1)).square().mean() * times


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_scaled_steps_are_those_of_the_loss_and_one_that_overflows_is_left_out(name):
    """A scale is a power of two, so that in float32 networks it leaves no trace; the first step is the one that fails."""
    settings, ends = OPTIMIZERS[name], []
    for precision in ("float32", "float16"):
        engine, module = engine_of(precision), player()
        optimizer = optimizer_maker(settings)(module)
        before = copy.deepcopy(module.state_dict())
        if precision == "float16":
            engine.update("target", loss_of(module, 0, 1e38), module, optimizer, settings)  # 2**16 times it is infinite
            assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
            assert not optimizer.state
            assert engine.scales.of("target") == 2.0**15
        for batch in range(3):
            engine.update("target", loss_of(module, batch), module, optimizer, settings)
        ends.append([*module.state_dict().values(), *optimizer.state_dict()["state"][0].values()])
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))


def test_each_player_has_its_own_scale_and_takes_it_up_again():
    engine, module = engine_of("float16"), player()
    optimizer = optimizer_maker(OPTIMIZERS["sgd"])(module)
    engine.update("target", loss_of(module, 0, 1e38), module, optimizer, OPTIMIZERS["sgd"])
    assert (engine.scales.of("target"), engine.scales.of("synthesizer")) == (2.0**15, 2.0**16)
    engine.update("target", loss_of(module, 0), module, optimizer, OPTIMIZERS["sgd"])
    again = engine_of("float16")
    again.scales.restore(engine.scales.state())
    assert again.scales.state() == engine.scales.state()
    assert engine.scales.state()["target"]["_growth_tracker"] == 1
    other = engine_of("float32")
    other.scales.restore(engine.scales.state())  # the precision of a run that goes on may change
    assert other.scales.of("target") == 1


class Faint(nn.Module):
    """A network in float16 whose gradients are too small for it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 1)

    def forward(self, pixels):
        with torch.autocast("cpu", torch.float16):
            return self.second(self.first(pixels.flatten(1)).tanh())[:, 0].float() * 1e-8


@pytest.mark.parametrize("size", [4, 2])
def test_small_gradients_of_pieces_are_not_lost(size):
    module, images = Faint(), torch.randn(4, 1, 2, 2)
    truth = Truth.of_images(torch.zeros(4, dtype=torch.int64))
    parameters = list(module.parameters())
    found = {}
    for scale in (1.0, 2.0**16):
        memory = Memory(lambda _: None, lambda player, scale=scale: scale)
        memory.restore({"target": size - 1, "synthesizer": size - 1})
        mean, _ = memory.mean("target", lambda some, _: (module(some).mean(), len(some)), module, images, truth)
        pixels = images.clone().requires_grad_()
        rows = memory.rows("synthesizer", lambda some, _: module(some), pixels, truth)
        found[scale] = [*torch.autograd.grad(mean, parameters), *torch.autograd.grad(rows.sum(), pixels)]
    exact = module.second(module.first(pixels.flatten(1)).tanh())[:, 0] * 1e-8
    wanted = [
        *torch.autograd.grad(exact.mean(), parameters, retain_graph=True),
        *torch.autograd.grad(exact.sum(), pixels),
    ]
    assert not found[1.0][0].any()
    for one, expected in zip(found[2.0**16], wanted, strict=True):
        torch.testing.assert_close(one, expected, rtol=0.02, atol=float(expected.abs().max()) * 0.02)


def test_the_gradient_at_the_pose_is_clipped_as_without_a_scale():
    clipped = []
    for scale in (1.0, 2.0**16):
        raw = torch.linspace(-1, 1, 6).reshape(2, 3).requires_grad_()
        scalar = (raw * torch.tensor([[3.0, 0.0, 4.0], [0.3, 0.0, 0.4]])).sum(1).mean()
        clip_composites(raw, 2.0, torch.arange(2), 2, scale=scale)
        (scalar * scale).backward()
        clipped.append(raw.grad / scale)
    assert torch.equal(*clipped)


def test_the_realism_weight_is_that_without_a_scale_and_an_infinite_gradient_leaves_it():
    raw = torch.rand(5, 3, requires_grad=True)
    loss = SynthesizerLoss((2 * raw).sum(), raw.square().sum(), raw.sum() * 0, 1.0, 1.0)
    one, other = RealismWeight(0.5), RealismWeight(0.5)
    plain, scaled = (weight.scalar(loss, raw, scale=scale) for weight, scale in ((one, 1.0), (other, 2.0**16)))
    assert torch.equal(plain, scaled)
    before = other.state()
    assert not torch.autograd.grad(other.scalar(loss, raw, scale=1e39), raw)[0].isfinite().all()
    assert all(torch.equal(value, before[name]) for name, value in other.state().items())


SLOWLY = ["runtime.device=cpu", "runtime.precision=float16"]  # ten times as slow as float32, so with few images
FEW = (
    "cycles=1 data.train=60 data.val=16 data.test=16 pool.per_cycle=10 pool.candidates=100 synthesis.batch_size=16 "
    "synthesis.statistics_pairs=16 fine_tune.batch_size=16 pretrain.batch_size=16"
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, small):
    """A recipe and the folder of its run, which left out steps."""
    folder = tmp_path_factory.mktemp("float16") / "whole"
    recipe = load_recipe("quickstart", [*small, *FEW.split(), *SLOWLY])
    with pytest.MonkeyPatch.context() as patch:
        rough(patch)
        return recipe, folder, lasting(train(recipe, out=folder))


def rough(patch):
    """A scale that is too large at first and grows soon: steps are left out in the first phase, and later."""
    made = partial(torch.amp.GradScaler, init_scale=2.0**19, growth_interval=2)
    patch.setattr("terse.training.scaling.torch.amp.GradScaler", made)


def test_the_optimiser_counts_the_steps_it_made_and_the_costs_what_was_computed(whole, unchecked):
    recipe, folder, result = whole
    tensors, facts = read_checkpoint(folder / "state")
    assert set(facts["scales"]) == {"target", "synthesizer"}
    steps = int(tensors["optimizers"]["synthesizer"]["state"][0]["step"])
    (row,) = result["cycles"]
    passes = (row["synthesizer_forwards"] - recipe.synthesis.statistics_pairs) / recipe.synthesis.batch_size
    assert 0 < steps < passes


@pytest.mark.parametrize(
    ("cycle", "phase", "step"),
    [
        (1, "synthesizer", 3),
        pytest.param(0, "pretrain", 1, marks=pytest.mark.slow),
        pytest.param(1, "target", 1, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_leaves_out_steps_goes_on_bit_for_bit(cycle, phase, step, whole, tmp_path, monkeypatch, unchecked):
    recipe, folder, result = whole
    rough(monkeypatch)
    with pytest.raises(Killed):
        train(recipe, out=tmp_path, observer=KillIn(cycle, phase, step))
    assert lasting(train(recipe, out=tmp_path, resume=True)) == result
    assert (tmp_path / "metrics.jsonl").read_bytes() == (folder / "metrics.jsonl").read_bytes()
    kept, expected = (torch.load(run / "target.pth", weights_only=True) for run in (tmp_path, folder))
    assert all(torch.equal(value, expected[name]) for name, value in kept.items())


@pytest.mark.slow
def test_players_of_photographs_learn_in_float16(unchecked):
    """With a discriminator, whose share of the gradient is found at the synthesizer's scale."""
    few = "data.train=6 data.val=2 data.test=2 data.backgrounds=4 synthesis.batch_size=2 synthesis.steps=2"
    realism = "synthesis.harvest=after objective.realism=auto synthesis.statistics_pairs=2"
    judge = "synthesis.discriminator={warm_up_steps: 1, batch_size: 2}"
    session = open_session(load_recipe("shapes", [*few.split(), *realism.split(), judge, *SLOWLY]), None)
    learnt = session.players.proposer.module, session.players.discriminator
    before = [copy.deepcopy(module.state_dict()) for module in learnt]
    warm_up_phase(session, 1)
    synthesizer_phase(session, 1)
    assert set(session.engine.scales.state()) == {"synthesizer", "discriminator"}
    assert session.realism_weight.state()["medians"].isfinite().all()
    assert int(session.realism_weight.state()["steps"]) > 0
    for module, old in zip(learnt, before, strict=True):
        assert any(not torch.equal(value, old[name]) for name, value in module.state_dict().items())
        assert all(value.isfinite().all() for value in module.parameters())


def test_gradients_that_no_scale_holds_end_the_run(small):
    session = open_session(load_recipe("quickstart", [*small, *SLOWLY]), None)
    module = session.players.target.module
    optimizer = optimizer_maker(OPTIMIZERS["sgd"])(module)
    session.engine.scales.restore({"target": {**torch.amp.GradScaler("cpu").state_dict(), "scale": LEAST_SCALE * 2}})

    def step():
        loss = sum((weight * 0).sum().sqrt() for weight in module.parameters())  # finite; its gradient is not
        assert torch.isfinite(loss)
        session.update("target", loss, module, optimizer, OPTIMIZERS["sgd"])

    step()
    with pytest.raises(Diverged) as caught:
        step()
    assert str(caught.value).startswith(
        "target: expected a finite loss at step 0, got a gradient that is no number at any"
    )
    assert all(weight.isfinite().all() for weight in module.parameters())


def test_weights_in_float16_are_refused():
    with pytest.raises(RecipeError) as caught:
        engine_of("float16").prepare(nn.Linear(2, 2).half())
    assert str(caught.value) == (
        "runtime.precision: expected weights in float32, which float16 networks are trained from, got Linear with weights "
        "in float16; call .float() on it"
    )


def test_auto_takes_bfloat16_where_a_gpu_has_units_for_it(monkeypatch):
    """torch also counts GPUs that emulate it, slower than float32."""
    engine = engine_of("auto")
    engine.device = torch.device("cuda")
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation=True: including_emulation)
    with engine.autocast():
        assert not torch.is_autocast_enabled("cuda")
