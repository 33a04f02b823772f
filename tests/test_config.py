import pytest

from terse.config import help_of
from terse.errors import RecipeError
from terse.generate import GenerateSettings
from terse.recipe import Recipe, dump_recipe, load_recipe
from terse.recipe_files import builtin_recipes
from terse.recipe_parts import PoolConfig
from terse.registry import kinds
from terse.validation import parse_overrides, validate
from terse.yaml_text import read_yaml, write_yaml


def test_yaml_is_1_2():
    assert read_yaml("{a: 1e-3, b: no, c: 010, d: '1'}", "r") == {"a": 0.001, "b": "no", "c": 10, "d": "1"}


def test_a_repeated_key_is_named_with_its_line():
    with pytest.raises(RecipeError) as caught:
        read_yaml("a: 1\nb: 2\na: 3\n", "mine.yaml")
    assert str(caught.value) == (
        'mine.yaml, line 3: expected YAML with each key once, got: found duplicate key "a" with value "3" '
        '(original value: "1")'
    )


def test_a_list_is_no_recipe():
    with pytest.raises(RecipeError) as caught:
        read_yaml("- 1", "mine.yaml")
    assert str(caught.value) == "mine.yaml: expected a mapping of settings, got list"


def test_overrides_nest_and_read_their_values_as_yaml():
    assert parse_overrides(["a.b=1", "a.c=[1, 2]", "d="]) == [{"a": {"b": 1}}, {"a": {"c": [1, 2]}}, {"d": ""}]
    assert parse_overrides(["a=set #1/x.json", "b='x' # y", "c=#1"]) == [
        {"a": "set #1/x.json"},
        {"b": "x"},
        {"c": None},
    ]


@pytest.mark.parametrize(
    "overrides", [["synthesis=mined", "synthesis.batch_size=4"], ["synthesis.batch_size=4", "synthesis=mined"]]
)
def test_a_kind_by_its_name_alone_goes_with_settings_of_it(overrides):
    recipe = load_recipe("quickstart", overrides)
    assert (recipe.synthesis.kind, recipe.synthesis.batch_size) == ("mined", 4)


def test_a_files_kind_by_its_name_alone_goes_with_overrides_of_it(tmp_path):
    file = tmp_path / "mine.yaml"
    settings = {**load_recipe("quickstart").model_dump(mode="json"), "synthesis": "mined"}
    file.write_text(write_yaml(settings), encoding="utf-8")
    assert load_recipe(file).synthesis.kind == "mined"
    recipe = load_recipe(file, ["synthesis.batch_size=4"])
    assert (recipe.synthesis.kind, recipe.synthesis.batch_size) == ("mined", 4)


def test_a_setting_unset_takes_nothing_of_what_it_was():
    recipe = load_recipe("quickstart", ["pretrain=null", "pretrain.steps=5"])
    before = load_recipe("quickstart")
    assert (recipe.pretrain.steps, recipe.pretrain.batch_size) == (5, before.fine_tune.batch_size)
    assert recipe.pretrain.optimizer == before.fine_tune.optimizer != before.pretrain.optimizer


@pytest.mark.parametrize("item", ["a", "=1", "a..b=1"])
def test_an_override_without_key_or_value_is_refused(item):
    with pytest.raises(RecipeError) as caught:
        parse_overrides([item])
    assert str(caught.value) == (f"{item}: expected key=value, got no value; for example cycles=3 or data.root=mnist")


@pytest.mark.parametrize("overrides", ["seed=1", {"seed": 1}, [("seed", 1)]])
def test_overrides_are_a_list_of_texts(overrides):
    with pytest.raises(RecipeError) as caught:
        parse_overrides(overrides)
    assert str(caught.value) == f'overrides: expected a list of texts such as ["seed=1"], got {overrides!r}'


def test_refusals_name_rule_value_and_the_papers_value():
    with pytest.raises(RecipeError) as caught:
        validate(PoolConfig, {"per_class": 0, "per_clas": 1, "candidates": "many"}, None)
    assert str(caught.value).splitlines() == [
        "per_class: expected an integer >= 1, got 0; 500 is the paper's",
        "candidates: expected an integer, got 'many'; 20000 is the default",
        "per_clas: expected a known setting, got 'per_clas'; did you mean 'per_class'?",
    ]


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ("classes=[]", "classes: expected at least one name, got none; null takes all"),
        ("classes=[cat, dog, cat]", "classes: expected each name once, got 'cat' twice; take one away"),
    ],
)
def test_classes_are_named_once(given, refusal):
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", [given])
    assert str(caught.value) == refusal


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ([], "blends: expected 1 or more entries, got ()"),
        ([""], "blends.0: expected one of 'alpha', 'gaussian', 'box', 'motion', 'none' or 'poisson', got ''"),
    ],
)
def test_a_list_whose_entries_are_refused_is_not_called_short(given, refusal):
    with pytest.raises(RecipeError) as caught:
        validate(GenerateSettings, {"count": 1, "blends": given}, None)
    assert str(caught.value) == refusal


def test_refusals_inside_a_component_name_the_whole_path():
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", ["synthesis.optimizer.lr=-1", "poses.kind=affin"])
    assert str(caught.value).splitlines() == [
        "synthesis.optimizer.lr: expected a number > 0, got -1; 0.01 is the paper's",
        f"poses: expected one of {', '.join(kinds('pose'))}, got 'affin'; did you mean 'affine'?",
    ]


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        (
            "fine_tune.real_per_synthetic=-1",
            "fine_tune.real_per_synthetic: expected a number >= 0 or 'all', got -1; all is the default",
        ),
        (
            "objective.realism=automatic",
            "objective.realism: expected a number or 'auto', got 'automatic'; 1.0 is the default",
        ),
        ("fine_tune.augment=2", "fine_tune.augment: expected true or false or 'ssd', got 2; false is the default"),
        (
            "synthesis.discriminator=word",
            "synthesis.discriminator: expected settings by name or true or false, got 'word'; false is the default",
        ),
        (
            "synthesis.discriminator={width: 0}",
            "synthesis.discriminator.width: expected an integer >= 1, got 0; 64 is the paper's",
        ),
        ("poses=null", "poses: expected settings by name or a list, got null"),
        ("poses=[null]", "poses.0: expected settings by name, got null"),
        ("pool=null", "pool: expected settings by name, got null"),
        (
            "poses.rotation_deg=[1, 2, 3]",
            "poses.rotation_deg: expected 2 entries, got [1, 2, 3]; [-20.0, 20.0] is the default",
        ),
        ("synthesis.objects=[2]", "synthesis.objects: expected 2 entries, got [2]; [1, 1] is the paper's"),
        (
            "fine_tune.epoch=all",
            "fine_tune.epoch: expected one of 'pool' or 'real', got 'all'; pool is the default",
        ),
        ("pool.mix=[]", "pool.mix: expected 2 entries, got []"),
        ("data.root=[1]", "data.root: expected a path, got [1]"),
    ],
)
def test_a_refused_setting_is_one_sentence_in_a_recipes_words(given, refusal):
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", [given])
    assert str(caught.value) == refusal


def test_an_unknown_recipe_is_answered_with_the_nearest():
    with pytest.raises(RecipeError) as caught:
        load_recipe("quikstart")
    assert str(caught.value).endswith("got neither; did you mean 'quickstart'?")


def test_another_kind_drops_the_settings_it_does_not_know(tmp_path):
    recipe = load_recipe("quickstart", ["synthesis.kind=random"])
    assert recipe.synthesis.kind == "random"
    assert recipe.synthesis.batch_size == load_recipe("quickstart").synthesis.batch_size
    with pytest.raises(RecipeError, match=r"synthesis.steps: expected a known setting"):
        load_recipe("quickstart", ["synthesis.kind=random", "synthesis.steps=3"])


def test_a_base_supplies_what_the_file_leaves_out(tmp_path):
    (tmp_path / "mine.yaml").write_text("base: quickstart\ncycles: 2\npool: {per_cycle: 10}\n")
    recipe = load_recipe(tmp_path / "mine.yaml")
    below = load_recipe("quickstart")
    assert (recipe.name, recipe.cycles, recipe.pool.per_cycle) == ("mine", 2, 10)
    assert recipe.fine_tune == below.fine_tune
    assert recipe.pool.candidates == below.pool.candidates


def test_paths_of_a_base_start_at_the_base(tmp_path):
    for name in ("top", "base", "child"):
        (tmp_path / name).mkdir()
    (tmp_path / "top/t.yaml").write_text("base: paste\nforegrounds: {cutouts: cuts}\nbackgrounds: {images: bg}\n")
    (tmp_path / "base/b.yaml").write_text("base: ../top/t.yaml\nbackgrounds: {images: bg}\ntrain: {images: real}\n")
    (tmp_path / "child/c.yaml").write_text("base: ../base/b.yaml\ntrain: {images: mine}\n")
    found = load_recipe(tmp_path / "child/c.yaml")
    assert found.foregrounds.cutouts == tmp_path / "top/cuts"
    assert found.backgrounds.images == tmp_path / "base/bg"
    assert found.train.images == tmp_path / "child/mine"
    assert load_recipe(tmp_path / "base/b.yaml").train.images == tmp_path / "base/real"


def test_bases_in_a_circle_are_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("base: b.yaml\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\n")
    with pytest.raises(RecipeError, match=r"expected a base that ends, got the circle"):
        load_recipe(tmp_path / "a.yaml")


def test_paths_start_at_the_recipe_or_at_the_working_directory(tmp_path, monkeypatch):
    folder, here = tmp_path / "recipes", tmp_path / "here"
    folder.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    (folder / "mine.yaml").write_text("base: quickstart\ndata: {root: digits}\n")
    assert load_recipe(folder / "mine.yaml").data.root == folder / "digits"
    assert load_recipe(folder / "mine.yaml", ["data.root=digits"]).data.root == here / "digits"
    monkeypatch.setenv("MY_DATA", "/somewhere")
    assert str(load_recipe("quickstart", ["data.root=$MY_DATA/x"]).data.root) == "/somewhere/x"
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", ["data.root=$NO_SUCH/x"])
    assert str(caught.value) == (
        "data.root: expected the environment variable in $NO_SUCH/x to be set, got none of that name"
    )


@pytest.mark.parametrize("name", sorted(builtin_recipes()))
def test_a_resolved_recipe_loads_to_an_equal_object(name, tmp_path, monkeypatch):
    for variable in ("TERSE_DATA", "VOC", "COCO"):
        monkeypatch.setenv(variable, str(tmp_path))
    try:
        recipe = load_recipe(name)
    except RecipeError as error:
        # A base or a template leaves out what only its user knows; nothing else may be missing.
        assert {line.split(":")[0] for line in str(error).splitlines()} <= {"foregrounds", "backgrounds", "train"}
        return
    (tmp_path / "written.yaml").write_text(dump_recipe(recipe))
    assert load_recipe(tmp_path / "written.yaml") == recipe
    assert read_yaml(write_yaml(recipe.model_dump(mode="json")), "r") == recipe.model_dump(mode="json")


def test_every_setting_has_a_help_text_or_speaks_for_itself():
    short = {
        "name", "description", "task", "seed", "cycles", "foregrounds", "backgrounds", "train", "target",
        "synthesis", "poses", "artefacts", "objective", "hardness", "pool", "fine_tune", "checkpoint", "runtime",
    }  # fmt: skip
    texts = help_of(Recipe)
    assert {name for name in Recipe.model_fields if not texts.get(name)} <= short
