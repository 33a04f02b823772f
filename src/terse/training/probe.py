"""What a target gives when it is asked for the first time, looked at before hours of training: a mistake is named by its method."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from terse.errors import RecipeError, ShapeError, TerseError
from terse.modes import learning
from terse.objectives import target_loss_of
from terse.protocols import is_attackable, is_trainable, network_of, trainable
from terse.recipe_parts import ObjectiveConfig
from terse.synthesis.blind import base_of
from terse.synthesis.learned.proposer import LearnedProposer
from terse.synthesis.proposer import propose
from terse.targets.copies import copy_of
from terse.tasks.task import task_of
from terse.training.session import Session

__all__ = ["check_answers"]

_IMAGES = 2
_WITHOUT = "synthesis.kind=mined and synthesis.feedback=critic need no gradient"


def check_answers(session: Session) -> None:
    """Ask the target for each thing that the run needs, once, on two composites and two real images.

    Weights, buffers, modes and the state of random numbers are left as they were.

    Raises:
        RecipeError: a method raises, or gives something else; the method and what it gave are named.

    Source: ours.
    """
    players, recipe, device = session.players, session.recipe, session.engine.device
    network = network_of(players.target)
    kept = None if network is None else copy.deepcopy(network.state_dict())
    if session.folder is not None and is_trainable(players.target):
        copy_of(trainable(players.target))  # its pages will
    blind = base_of(recipe, players.materials, _IMAGES)
    with torch.random.fork_rng(devices=[]), session.engine.autocast():
        composites = players.materials.render(propose(blind, _IMAGES, recipe.seed, 0, "probe"))
        images, truth = composites.images.detach().to(device), composites.truth.to(device)
        target: Any = players.target
        given = images.clone()
        predicted = _asked(target, "predict", lambda: target.predict(images))
        _see(target, "predict", _of_images(images, given))
        flaw = task_of(recipe).flaw(predicted, len(images), players.materials.classes)
        _see(target, "predict", flaw)
        _see(
            target,
            "confidence",
            _of_confidence(_asked(target, "confidence", lambda: target.confidence(images, truth)), truth),
        )
        _see(target, "confidence", _of_images(images, given))
    # In a context of its own: some versions of torch keep the weights that were cast where no gradient was asked for.
    with torch.random.fork_rng(devices=[]):
        if isinstance(players.proposer, LearnedProposer) and recipe.cycles:
            with session.engine.autocast():
                _check_attack(session, images, truth)
                _check_discriminator(session, images)
        if is_trainable(target) and len(players.train) >= _IMAGES:
            real, known = players.train.fetch(np.arange(_IMAGES))
            with session.engine.autocast(), learning(target.module):
                loss = _asked(target, "train_loss", lambda: target.train_loss(real.to(device), known.to(device)))
            _see(target, "train_loss", _of_scalar(loss))
    if network is not None and kept is not None:
        network.load_state_dict(kept)


def _check_attack(session: Session, images: Tensor, truth: Any) -> None:
    target: Any = session.players.target
    method = "evidence" if is_attackable(target) else "attack_loss"
    pixels = images.clone().requires_grad_()
    loss = _asked(target, method, lambda: target_loss_of(target, session.recipe.objective)(pixels, truth))
    if not isinstance(loss, Tensor) or loss.shape != (len(images),):
        _see(target, method, f"a loss of each of {len(images)} images, got {_told(loss)}")
    if not bool(torch.isfinite(loss).all()):
        _see(target, method, f"finite numbers, got {loss.tolist()}; {_WITHOUT}")
    if not bool((truth.pasted & ~truth.ignore).any()):
        return
    total = target_loss_of(target, ObjectiveConfig())(pixels, truth).float().sum() * session.engine.scales.of(
        "synthesizer"
    )
    (gradient,) = torch.autograd.grad(total, pixels, allow_unused=True)
    if gradient is None:
        _see(target, method, f"numbers with a gradient to the pixels, got ones without; is one detached? {_WITHOUT}")
    elif not bool(gradient.any()):
        session.alarm(
            0,
            f"the gradient of target.{method} is 0 in all pixels of two composites: is something rounded, or the network "
            f"not trained yet? {_WITHOUT}",
        )


def _check_discriminator(session: Session, images: Tensor) -> None:
    if session.players.discriminator is not None:
        try:
            session.players.discriminator(images)
        except ShapeError as error:
            reason = str(error).removeprefix("images: ")
            raise RecipeError(
                f"synthesis.discriminator: {reason}; synthesis.discriminator=false needs neither"
            ) from None


def _asked(target: Any, method: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except TerseError:
        raise
    except Exception as error:  # whatever the user's own code raises
        where = " ".join(f"{type(error).__name__}: {error}".split())
        raise RecipeError(f"target.{method}: expected an answer of {type(target).__name__}, got {where}") from error


def _see(target: Any, method: str, flaw: str) -> None:
    if flaw:
        raise RecipeError(f"target.{method}: expected {type(target).__name__} to give {flaw}")


def _of_confidence(found: Any, truth: Any) -> str:
    count = int(truth.pasted.sum())
    if not isinstance(found, Tensor) or found.shape != (count,):
        return f"a probability for each of {count} pasted objects, got {_told(found)}"
    return "" if bool(((found >= 0) & (found <= 1)).all()) else f"probabilities, got {found.tolist()}"


def _of_images(images: Tensor, given: Tensor) -> str:
    """Others are asked about the same images: two models that are compared, pages."""
    return (
        ""
        if torch.equal(images, given)
        else "an answer and leave the images as they are, got changed ones; work on a copy"
    )


def _of_scalar(loss: Any) -> str:
    if not isinstance(loss, Tensor) or loss.ndim:
        return f"one number with a gradient, got {_told(loss)}"
    if not bool(torch.isfinite(loss)):
        return f"a finite number, got {float(loss.detach())}; look at its input with `terse preview`"
    return "" if loss.requires_grad else "one number with a gradient, got one without; is it detached?"


def _told(value: Any) -> str:
    return f"a tensor of {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
