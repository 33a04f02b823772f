"""Ends a run at a chosen step, and compares what two runs found."""

import torch

from terse.progress import Observer


class Killed(Exception):
    pass


class KillAt(Observer):
    """Ends the process's run after so many steps, without a word to the session."""

    def __init__(self, steps):
        self.left = steps

    def step(self, **numbers):
        self.left -= 1
        if self.left == 0:
            raise Killed


class KillIn(Observer):
    """Ends the run in a step of a phase of a cycle; step 0 is the moment in which the phase begins."""

    def __init__(self, cycle, phase, step):
        self.wanted = (cycle, phase, step)

    def phase(self, cycle, phase, steps, done):
        self.at = [cycle, phase, done]
        if tuple(self.at) == self.wanted:
            raise Killed

    def step(self, **numbers):
        self.at[2] += 1
        if tuple(self.at) == self.wanted:
            raise Killed


class StopAt(KillAt):
    """Asks to stop after so many steps, as Ctrl-C does."""

    def step(self, **numbers):
        self.left -= 1

    def stop(self):
        return self.left <= 0


def lasting(result):
    """All figures but the time they took."""
    cycles = [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in result["cycles"]]
    return {**{k: v for k, v in result.items() if k not in ("seconds", "out")}, "cycles": cycles}


def assert_channels_last(players):
    """Where two layouts round alike, equal figures do not show that a resumed run keeps the layout."""
    modules = [players.target.module, players.discriminator, players.proposer and players.proposer.module]
    convolutions = [p for m in modules if m is not None for p in m.parameters() if p.dim() == 4]
    assert convolutions
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in convolutions)
