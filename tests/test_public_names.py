import terse


def test_public_names_change_on_purpose_only():
    assert sorted(terse.__all__) == [
        "AffinePoses",
        "Backgrounds",
        "Composites",
        "Foregrounds",
        "Pasted",
        "Placements",
        "Recipe",
        "RunData",
        "TerseError",
        "Truth",
        "compose",
        "load_recipe",
        "train",
    ]
    for name in terse.__all__:
        assert getattr(terse, name).__name__ == name
