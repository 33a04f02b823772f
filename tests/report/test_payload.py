import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from terse.pictures.gallery import Gallery, Streamed
from terse.report import payload

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_embedded_comes_back_and_cannot_end_its_element(value):
    text = payload.embed(value)
    assert json.loads(text) == value
    assert not set(text) & set("<>&\u2028\u2029")


def test_numpy_and_what_json_lacks_become_json():
    value = {"a": np.arange(3), "b": np.float32(0.5), "c": math.nan, "d": (1, 2), "e": math.inf, "f": np.bool_(True)}
    assert json.loads(payload.embed(value)) == {"a": [0, 1, 2], "b": 0.5, "c": None, "d": [1, 2], "e": None, "f": True}


def test_the_gallery_stores_each_name_once_and_keeps_the_order(drawn):
    data = json.loads(payload.gallery_json(drawn.gallery(40)))
    assert data["names"] == ["0", "learned", "1", "random", "2", drawn.HOSTILE]
    assert [data["names"][k] for k in data["class"][:5]] == ["0", "1", "2", drawn.HOSTILE, "0"]
    assert data["cycle"] == sorted(data["cycle"])
    assert data["record"][7]["foreground"] == "mnist:7"
    assert {len(data[c]) for c in ("src", "size", "class", "hardness", "arm", "boxes", "masks", "record")} == {40}


def test_a_streamed_gallery_is_drawn_once_and_equals_a_list(drawn):
    pulled = []

    def stream():
        for item in drawn.items(30):
            pulled.append(item)
            yield item

    streamed = payload.gallery_json(Gallery(Streamed(30, stream())))
    assert streamed == payload.gallery_json(Gallery(list(drawn.items(30))))
    assert len(pulled) == 30
