"""Commands that pages print."""

import pytest

from terse.pictures.again import computing, trust_flag


@pytest.mark.parametrize(
    ("settings", "builds_target", "flag"),
    [
        ({"target": {"kind": "user", "factory": "my_models:make"}}, True, ["--trust"]),
        ({"target": {"kind": "user", "factory": "my_models:make"}}, False, []),  # `terse render` asks no model
        ({"target": {"kind": "ssd_small"}, "backgrounds": {"images": "s3:/bucket/rooms"}}, False, ["--trust"]),
        ({"hardness": {"guide": {"source": {"coco": "https://host/a.json"}}}}, True, ["--trust"]),
        ({"runtime": {"publish": "s3://bucket/pool"}}, True, ["--trust"]),
        ({"description": "https://host/paper", "name": "https://host", "val": 0.2, "test": None}, True, []),
        ({"backgrounds": {"images": "file:///rooms"}, "train": [{"images": "C:/rooms"}]}, True, []),
    ],
)
def test_only_code_and_urls_of_a_recipe_need_trust(settings, builds_target, flag):
    assert trust_flag(settings, builds_target=builds_target) == flag


def test_a_folder_with_a_recipe_that_names_code_is_computed_with_trust(tmp_path):
    folder = tmp_path / "a run"
    folder.mkdir()
    assert computing(folder) == f"terse report '{folder}' --compute"
    (folder / "recipe.yaml").write_text("target: {kind: user, factory: 'my_models:make'}")
    assert computing(folder) == f"terse report '{folder}' --compute --trust"
    (folder / "recipe.yaml").write_text("a: [")
    assert computing(folder) == f"terse report '{folder}' --compute"
