"""Shapes in signatures are checked in every test: the hook must be in place before terse is imported."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

gc.disable()  # until all is imported
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # several test processes share the cores; what they start inherits it

import shape_checks

_SHAPED = (
    "compositing",
    "discriminator",
    "evaluation",
    "objectives",
    "placements",
    "pool",
    "sources",
    "synthesis",
    "targets",
    "training",
)
shape_checks.install([f"terse.{name}" for name in (*_SHAPED, "poses.maps", "types")])

import hypothesis
import jaxtyping
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem

from drawn_photographs import Drawn
from terse.process import prepare_process
from terse.trust import trusting

prepare_process()  # as the command line does

# How long an example takes is the machine's affair.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

SMALL = (
    "data.train=300",
    "data.val=20",
    "data.test=20",
    "cycles=2",
    "pretrain.epochs=1",
    "hardness.above=0",  # a start this young is sure of nothing: any mistake counts
    "pool.per_cycle=40",
    "pool.candidates=400",
    "synthesis.batch_size=32",
    "synthesis.steps=4",
    "synthesis.statistics_pairs=64",
    "synthesis.harvest=during",
    "synthesis.harvest_from=1",
    "synthesis.max_steps=8",
    "fine_tune.epochs=2",
    "checkpoint.every_steps=3",
)


def pytest_collection_finish():
    """All that is imported stays: looking at it again and again, for garbage, took 7 % of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def pytest_sessionfinish():
    """Libraries in C++ take what the collector never frees for a leak, and say so."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def small():
    """Overrides that make quickstart run in about a second."""
    return list(SMALL)


@pytest.fixture
def trusts():
    """Code that a recipe names may be imported."""
    with trusting():
        yield


@pytest.fixture
def no_home(monkeypatch):
    """The user has no home folder, as in a container under a number that it does not know."""

    def unknown(_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", classmethod(unknown))


@pytest.fixture
def own_storage(tmp_path, monkeypatch):
    """An empty `memory://`, a cache of the test's own, and no URL that the user typed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("terse.urls._TYPED", set())
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_the_disk():
    """Power does not fail while tests run; what is synced, and when, is recorded by the tests of power cuts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        patch.setattr("terse.folders._sync_file_system", lambda handle: None)
        yield


@pytest.fixture(autouse=True)
def _few_threads():
    """A run chooses thread counts by itself; the next test should not inherit them."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _no_lines_of_slow_machines(monkeypatch):
    """What a test reads on stderr does not depend on how long a count took."""
    monkeypatch.setattr("terse.cli.progress.SOON_SECONDS", float("inf"))


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Shapes unchecked, as at a user's: our own sentences answer then."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.fixture
def drawn(tmp_path):
    """Writes drawn photographs with their annotations below the test's folder."""
    return Drawn(tmp_path)
