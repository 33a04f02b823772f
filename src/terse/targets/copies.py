"""A copy of a target with weights of its own: pages ask it beside the target, references learn from where it stands."""

import copy

from terse.errors import RecipeError, reason_of
from terse.protocols import Judges, network_of

__all__ = ["copy_of"]


def copy_of(target: Judges) -> Judges:
    """The copy; its weights are leaves, which learn where the target's learn.

    Raises:
        RecipeError: the target holds something that cannot be copied, such as a lock or an open file.
    """
    try:
        one = copy.deepcopy(target)
    except Exception as error:  # whatever the parts of the user's own object raise
        raise RecipeError(
            f"target: expected {type(target).__name__} to be one that copy.deepcopy copies, as pages and references need, "
            f"got {type(error).__name__}: {reason_of(error)}; make that part when it is asked for, or define __deepcopy__"
        ) from error
    network = network_of(one)
    for weight in () if network is None else network.parameters():
        learns = weight.requires_grad
        weight.detach_().requires_grad_(learns)  # TorchScript's copies hang on a graph
    return one
