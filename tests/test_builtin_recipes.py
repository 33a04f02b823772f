"""The recipes that come with the package, and the paper's ablations as overrides of one line."""

from importlib.resources import files

import pytest

from terse.recipe import load_recipe
from terse.sources.voc import VOC_CLASSES

NAMES = sorted(
    item.name.removesuffix(".yaml") for item in files("terse.recipes").iterdir() if item.name.endswith("yaml")
)
BASES = {"detector", "paste"}  # written to be laid under a user's own


@pytest.fixture(autouse=True)
def _folders(monkeypatch, tmp_path):
    for name in ("TERSE_DATA", "VOC", "COCO"):
        monkeypatch.setenv(name, str(tmp_path))


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_is_valid_and_says_what_it_is(name):
    recipe = load_recipe(name)
    assert recipe.description
    if name not in BASES:
        assert recipe.data is not None or (recipe.foregrounds and recipe.backgrounds and recipe.train)


def flat(settings, above=""):
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


# Table 2, the columns in their order; docs/photographs.md shows the same overrides.
@pytest.mark.parametrize("name", ["coco-person", "coco-person-small", "voc-person"])
@pytest.mark.parametrize(
    "override",
    [
        "cleanup=false",
        "synthesis.dropout=0",
        "artefacts.count=0",
        "fine_tune.real_per_synthetic=0",
        "synthesis.discriminator=false",
    ],
)
def test_an_ablation_is_one_override_and_changes_nothing_else(name, override):
    def settings(*overrides):
        return dict(flat(load_recipe(name, overrides).model_dump(mode="json")))

    whole, without = settings(), settings(override)
    key = override.split("=")[0]
    changed = {item for item in whole.keys() | without.keys() if whole.get(item) != without.get(item)}
    assert changed
    assert all(item == key or item.startswith(f"{key}.") for item in changed)


def test_the_papers_recipe_has_the_papers_settings():
    recipe = load_recipe("voc-person")
    assert (recipe.canvas_px, recipe.cycles, recipe.target.kind) == (300, 5, "ssd300_vgg16")
    assert (recipe.synthesis.backbone, recipe.synthesis.base, recipe.synthesis.steps) == ("vgg16_bn", "centre", 1000)
    assert (recipe.synthesis.batch_size, recipe.synthesis.harvest) == (16, "after")
    assert (recipe.synthesis.optimizer.lr, recipe.synthesis.optimizer.weight_decay) == (1e-4, 5e-4)
    assert recipe.synthesis.discriminator_settings.warm_up_steps == 0
    assert (recipe.fine_tune.epochs, recipe.fine_tune.optimizer.lr, recipe.fine_tune.real_per_synthetic) == (3, 1e-5, 1)
    assert recipe.cleanup


def test_the_papers_people_need_weights_and_count_by_vocs_points():
    recipe = load_recipe("voc-person")
    assert recipe.synthesis.backbone_weights.name == "vgg16_bn.pth"
    assert recipe.synthesis.messages == ()
    assert load_recipe("voc-person", ["synthesis.backbone_weights=null"]).synthesis.messages == (
        "synthesis.backbone_weights: none are named, so the synthesizer's vgg16_bn begins with random weights; "
        "the paper's begins with ImageNet's",
    )
    assert (recipe.primary, recipe.judged, len(recipe.classes)) == ("voc07_ap", ("person",), 20)
    assert recipe.classes == VOC_CLASSES  # the outputs of an SSD of 20 classes
    assert set(recipe.backgrounds.rename.values()) <= set(VOC_CLASSES)
