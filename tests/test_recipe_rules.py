"""Settings that do not go together are refused before anything is read."""

import pytest

from terse.errors import RecipeError
from terse.recipe import load_recipe


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["pool.per_cycle=null"], "recipe: pool: expected per_class or per_cycle, got neither"),
        (["pool.per_class=5"], "recipe: pool: expected per_class or per_cycle, got both"),
        (
            ["alternation=batch", "pool.refresh=1"],
            "recipe: alternation: expected phase where pool.refresh is set, got batch",
        ),
        (
            ["alternation=batch", "pool.choose=farthest"],
            "recipe: alternation: expected phase where pool.mix or pool.choose is set, got batch",
        ),
        (
            ["alternation=batch", "pool.mix=[0.5, 0.5]", "synthesis.harvest=after"],
            "recipe: alternation: expected phase where pool.mix or pool.choose is set, got batch",
        ),
        (
            ["alternation=batch", "pool.passes_per_wanted=2", "synthesis.harvest=after"],
            "recipe: alternation: expected phase where pool.passes_per_wanted is set, got batch",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", overrides)
    assert str(caught.value).startswith(said)


def test_each_of_them_alone_is_not() -> None:
    for overrides in (["alternation=batch"], ["pool.refresh=1"], ["pool.choose=farthest", "synthesis.harvest=after"]):
        load_recipe("quickstart", overrides)
