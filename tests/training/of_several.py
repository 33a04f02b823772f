"""What one of several processes of a run computes; `test_ranks.py` starts them and compares."""

import json
import socket
from pathlib import Path

import torch
from torch import nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD

from forked import Forked
from terse.recipe import load_recipe
from terse.recipe_parts import OptimizerConfig, RuntimeConfig
from terse.run import finish, open_session
from terse.targets.detector.target import DetectorTarget
from terse.training.engine import Engine
from terse.training.guides import look_at_guide
from terse.training.optimizers import optimizer_maker
from terse.training.ranks import Ranks
from terse.types import Truth

SETTINGS = (
    "data.train=60",
    "data.val=30",
    "data.test=30",
    "cycles=1",
    "pretrain.epochs=1",
    "pretrain.batch_size=16",
    "hardness.above=0",
    "pool.per_cycle=20",
    "pool.candidates=200",
    "synthesis.batch_size=24",
    "synthesis.steps=3",
    "synthesis.statistics_pairs=32",
    "objective.coverage=0.5",
    "artefacts={count: 1, probability: 0.5}",
    "fine_tune.epochs=1",
    "fine_tune.batch_size=9",
    "fine_tune.augment=true",
    "fine_tune.photometric=true",
    "fine_tune.optimizer={name: sgd, lr: 0.01, max_grad_norm: 1.0}",
    "runtime.precision=float32",
)


def without_batches(module):
    """The same network with BatchNorm that normalises nothing over a batch, and without dropout."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.train = lambda mode=True, part=part: nn.Module.train(part, False)
            part.training = False
        elif isinstance(part, (nn.Dropout, nn.Dropout2d)):
            part.p = 0.0
    return module


def trained(ranks, folder, *settings, plain=True):
    """The lines of the log and the target's last weights, of a run whose networks see one image at a time."""
    session = open_session(load_recipe("quickstart", [*SETTINGS, *settings]), folder, ranks=ranks)
    if plain:
        for network in (session.players.target.module, session.players.proposer.module):
            without_batches(network)
    result = finish(session)
    weights = {name: value.tolist() for name, value in session.players.target.module.state_dict().items()}
    return {"weights": weights, "pool": session.pool.placements.seed.tolist(), "cycles": len(result.cycles)}


def detector(family):
    """A small network whose loss is divided by the anchors that it matched in the whole batch."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 32, 3, 8, 1), nn.ReLU())
    body.out_channels = [32] if family == "ssd" else 32  # as each wants it
    if family == "ssd":
        boxes = DefaultBoxGenerator([[2]], scales=[0.4, 0.8], steps=[8])
        module = SSD(body, boxes, (64, 64), 2, head=None)
    else:
        module = FCOS(body, 2, 64, 64, anchor_generator=AnchorGenerator(((8,),), ((1.0,),)))
    return DetectorTarget(module, ["object"], [1], 1.0)


def of_detector(ranks, family):
    """The loss and the gradient of a detector on five images, of which one holds most of the matched anchors."""
    target = detector(family)
    generator = torch.Generator().manual_seed(1)
    boxes = torch.tensor([[4.0, 4, 60, 60], [8, 8, 50, 50], [2, 20, 40, 60], [30, 35, 50, 55], [1, 1, 62, 40]])
    nothing = torch.zeros(5, dtype=torch.bool)
    truth = Truth(torch.zeros(5, dtype=torch.int64), boxes, torch.tensor([0, 0, 0, 1, 4]), nothing, nothing, 5)
    images, share = torch.rand(5, 3, 64, 64, generator=generator), ranks.share(5)
    loss, count = target.counted_loss(images[torch.from_numpy(share.rows)], truth.take(share.rows.tolist()))
    whole = ranks.mean(loss, count, share)
    settings = OptimizerConfig(name="sgd", lr=0.1, momentum=0.0, weight_decay=0.0)
    Engine(ranks=ranks).update("target", whole, target.module, optimizer_maker(settings)(target.module), settings)
    first = next(target.module.parameters())
    return {"loss": float(whole.detach()), "own": float(loss.detach()), "gradient": first.grad.flatten().tolist()}


def of_guide(ranks):
    """What a rule with a guide finds before a harvest, from images that the processes share."""
    rule = "hardness={kind: helpful, of: {kind: margin, above: 0}, guide: {fraction: 1, images: 41}, probe: 39}"
    settings = [one for one in SETTINGS if not one.startswith("hardness")]
    session = open_session(load_recipe("quickstart", [*settings, rule]), None, ranks=ranks)
    look_at_guide(session, 1, 0)
    rule = session.players.rule
    gradient = torch.cat([one.flatten() for one in rule._gradient]).tolist()
    return {"gradient": gradient, "cut": rule.cut, "passes": session.costs.judging_passes}


def of_scale(ranks):
    """Scale and weights after two steps in float16, of which the first overflows in one image's process."""
    torch.manual_seed(0)
    module, settings = nn.Linear(4, 2), OptimizerConfig(name="sgd", lr=0.1, momentum=0.9, weight_decay=0.0)
    engine = Engine(RuntimeConfig(device="cpu", precision="float16"), ranks)
    optimizer, share = optimizer_maker(settings)(module), ranks.share(2)
    for largest in (1e38, 1.0):
        times = torch.tensor([largest, 1.0])[torch.from_numpy(share.rows)]
        loss = (module(torch.eye(2, 4)[torch.from_numpy(share.rows)]).square().mean(dim=1) * times).mean()
        engine.update("target", ranks.mean(loss, len(share.rows), share), module, optimizer, settings)
    return {"scale": engine.scales.of("target"), "weights": module.weight.tolist()}


def start(count, folder, work, *arguments):
    """So many processes of one job on this machine, as `torchrun` starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1"}
    common |= {"MASTER_PORT": str(port)}
    ranks = ({**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count))
    return [Forked(folder / rank["RANK"], work, *arguments, **rank) for rank in ranks]


def all_found(folder):
    """What one of several processes finds, written below the folder."""
    ranks = Ranks.join("cpu")
    found = {"run": trained(ranks, None), **{family: of_detector(ranks, family) for family in ("ssd", "fcos")}}
    found |= {"guide": of_guide(ranks), "scale": of_scale(ranks)}
    Path(folder, f"{ranks.number}.json").write_text(json.dumps(found))
    ranks.leave()
