"""What a step will want is asked for one step ahead, and asking changes nothing."""

import dataclasses

import numpy as np
import pytest

from terse.recipe import load_recipe
from terse.run import open_session
from terse.training.phases import synthesizer_phase, target_phase


class Recording:
    """A bank that writes down what is asked of it."""

    def __init__(self, bank):
        self.bank = bank
        self.ahead, self.fetched = [], []
        for name in ("keys", "labels", "classes"):
            if hasattr(bank, name):
                setattr(self, name, getattr(bank, name))

    def __getattr__(self, name):
        return getattr(self.bank, name)

    def __len__(self):
        return len(self.bank)

    def prefetch(self, indices):
        self.ahead.append(np.asarray(indices).tolist())

    def fetch(self, indices):
        self.fetched.append(np.asarray(indices).tolist())
        return self.bank.fetch(indices)


@pytest.fixture
def session(small):
    session = open_session(load_recipe("quickstart", [*small, "synthesis.harvest=after", "synthesis.steps=4"]), None)
    players = session.players
    banks = {name: Recording(getattr(players.materials, name)) for name in ("foregrounds", "backgrounds")}
    materials = dataclasses.replace(players.materials, **banks)
    players.materials = players.proposer.materials = materials
    players.train = Recording(players.train)
    return session


def test_the_pairs_of_the_next_step_are_decoded_during_this_one(session):
    synthesizer_phase(session, 1)
    for bank in (session.players.materials.foregrounds, session.players.materials.backgrounds):
        assert len(bank.fetched) >= 4
        assert bank.ahead[:3] == bank.fetched[1:4]


def test_the_real_images_of_the_next_batch_are_decoded_during_this_one(session):
    target_phase(session, 0, session.recipe.pretrain, "pretrain")
    train = session.players.train
    assert len(train.fetched) > 2
    assert train.ahead == train.fetched[1:]
