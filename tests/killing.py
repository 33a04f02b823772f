"""Ends a run at a chosen step, and compares what two runs found."""

from terse.training.session import Silent


class Killed(Exception):
    pass


class KillAt(Silent):
    """Ends the process's run after so many steps, without a word to the session."""

    def __init__(self, steps):
        self.left = steps

    def step(self, **numbers):
        self.left -= 1
        if self.left == 0:
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
