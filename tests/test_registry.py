import subprocess
import sys

import pytest

from terse import registry
from terse.config import Component
from terse.errors import RecipeError, TerseError


def test_a_kind_has_one_owner():
    @registry.register("pose", "only_in_this_test")
    class First(Component[object]):
        kind: str = "only_in_this_test"

    try:
        with pytest.raises(TerseError) as caught:

            @registry.register("pose", "only_in_this_test")
            class Second(Component[object]):
                kind: str = "only_in_this_test"

        assert str(caught.value) == (
            "pose kind 'only_in_this_test': expected one owner, got "
            f"{__name__}.test_a_kind_has_one_owner.<locals>.First and "
            f"{__name__}.test_a_kind_has_one_owner.<locals>.Second"
        )
    finally:
        del registry._members["pose"]["only_in_this_test"]


def test_an_unknown_kind_is_answered_with_the_nearest():
    with pytest.raises(RecipeError) as caught:
        registry.lookup("synthesis", "lerned")
    assert str(caught.value).endswith("got 'lerned'; did you mean 'learned'?")


def test_reading_every_family_imports_no_torch():
    code = (
        "import sys; from terse import registry; [registry.kinds(f) for f in registry.families()];"
        "from terse.recipe import load_recipe; load_recipe('quickstart');"
        "print([m for m in ('torch', 'torchvision', 'cv2', 'scipy', 'plotly') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
