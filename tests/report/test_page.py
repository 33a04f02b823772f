import base64
import gzip
import hashlib
import re
from html.parser import HTMLParser

import pytest

from terse.errors import DataError, RunError
from terse.pictures.gallery import Gallery, GalleryItem
from terse.pictures.page_folder import Shown
from terse.pictures.sheets import Sheet
from terse.report import figures
from terse.report.page import _packed, build_page, page_html
from terse.report.parts import Chart, Command, Fact, Headline, PageData, Table, duration
from terse.report.run_page import train_page


class Elements(HTMLParser):
    """Tags and attributes of a page, and the text of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "script":
            self.scripts[-1] += data

    def handle_endtag(self, tag):
        self.tags.append((f"/{tag}", {}))


def names(folder):
    return [path.name for path in folder.iterdir()]


@pytest.fixture(scope="module")
def full(drawn):
    """A page with every part, hostile words in each."""
    bad = drawn.HOSTILE
    figure = figures.cycle_lines({bad: [0.1, 0.2]}, bad)
    return PageData(
        title=bad,
        kind="prove",
        name=bad,
        summary=[bad],
        headline=Headline(bad, bad, "good"),
        facts=[Fact(bad, bad, bad)],
        alarms=[bad],
        charts=[Chart("a-chart", bad, bad, figure)],
        tables=[Table(bad, [bad], [[bad]], bad)],
        shown=Shown(
            sheets=[Sheet(bad, bad, s.image, f'"{bad}', bad) for s in drawn.sheets()],
            pairs=drawn.pairs(),
            gallery=drawn.gallery(20),
        ),
        recipe=bad,
        commands=[Command(bad, bad)],
        footer=bad,
    )


def test_nothing_hostile_becomes_markup(full):
    page = Elements(page_html(full))
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    assert [s.get("type") for s in scripts] == ["application/json"] * 4 + ["application/octet-stream", None]
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_words_in_backticks_are_code_and_columns_of_names_stand_left():
    table = Table("One", ["run", "measure", "value"], [["a", "AP of `<b>`", "0.5"], ["", "false alarms", ""]])
    page = page_html(PageData(title="A page", kind="train", alarms=["lower `hardness.below`"], tables=[table]))
    assert "lower <code>hardness.below</code>" in page
    assert '<td class="name">AP of <code>&lt;b&gt;</code></td><td>0.5</td>' in page
    assert '<th scope="col" class="name">measure</th><th scope="col">value</th>' in page


def test_the_policy_names_exactly_the_scripts_of_the_page(full):
    text = page_html(full)
    page = Elements(text)
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    library = gzip.decompress(base64.b64decode(page.scripts[-2]))
    hashes = [base64.b64encode(hashlib.sha256(s).digest()).decode() for s in (page.scripts[-1].encode(), library)]
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}' 'sha256-{hashes[1]}'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def test_no_address_of_the_page_leaves_it(full):
    for tag, attributes in Elements(page_html(full)).tags:
        for name in ("src", "href", "action", "srcset", "poster"):
            value = attributes.get(name, "#")
            assert value.startswith(("#", "data:")), f"<{tag} {name}={value[:60]}>"


def test_plotly_comes_only_with_a_chart():
    assert 'plotly-data">' not in page_html(PageData(title="check", kind="check"))


def test_every_image_has_a_text(full):
    assert all(attributes.get("alt") for tag, attributes in Elements(page_html(full)).tags if tag == "img")


def test_a_chart_has_its_numbers_beside_it(drawn):
    text = page_html(train_page("", drawn.run(drawn.result())))
    table = re.search(r'Numbers of Accuracy against samples">.*?</table>', text, re.DOTALL).group()
    assert re.findall(r"<td>(.*?)</td>", table)[:4] == ["0", "0.185", "500", "0.552"]


def test_the_same_data_make_the_same_bytes(drawn, tmp_path):
    data = train_page(drawn.RECIPE, drawn.run(drawn.result()), shown=Shown(gallery=drawn.gallery(8)))
    first, second = (build_page(data, tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert first == second


def test_a_page_replaces_the_one_before_it(tmp_path):
    for title in ("one", "two"):
        build_page(PageData(title=title, kind="check"), tmp_path / "deep" / "report.html")
    assert names(tmp_path / "deep") == ["report.html"]
    assert "<h1>two</h1>" in (tmp_path / "deep" / "report.html").read_text("utf-8")


def test_data_that_fail_halfway_leave_the_old_page(tmp_path, drawn):
    path = build_page(PageData(title="old", kind="check"), tmp_path / "report.html")
    bad = Gallery([*drawn.items(3), GalleryItem(image=drawn.sheets()[0].image.astype(float), class_name="x")])
    with pytest.raises(DataError):
        build_page(PageData(title="new", kind="check", shown=Shown(gallery=bad)), path)
    assert "<h1>old</h1>" in path.read_text("utf-8")
    assert names(tmp_path) == ["report.html"]


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("terse.folders.os.fsync", full)
    path = tmp_path / "report.html"
    with pytest.raises(RunError) as error:
        build_page(PageData(title="new", kind="check"), path)
    assert str(error.value) == f"{path}: expected room to write it, got: No space left on device"
    assert names(tmp_path) == []


def test_plotly_is_packed_once_and_anew_where_the_cache_is_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library = b"a library " * 1000
    packed = _packed(library)
    (kept,) = (tmp_path / "terse" / "page").iterdir()
    assert gzip.decompress(packed) == library
    assert kept.read_bytes() == packed
    for damaged in (packed[:-9], b"", gzip.compress(b"another")):
        kept.write_bytes(damaged)
        assert _packed(library) == packed
        assert kept.read_bytes() == packed
    monkeypatch.setattr(gzip, "compress", None)
    assert _packed(library) == packed


def test_plotly_is_packed_where_nothing_can_be_kept(tmp_path, monkeypatch):
    (tmp_path / "terse").write_text("a file", "utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert gzip.decompress(_packed(b"a library")) == b"a library"


def test_plotly_is_packed_where_there_is_no_home(no_home):
    assert gzip.decompress(_packed(b"a library")) == b"a library"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.02, "0.1 s"),
        (0.34, "0.3 s"),
        (1.2, "1 s"),
        (9.6, "10 s"),
        (89, "89 s"),
        (600, "10 min"),
        (7260, "2 h 01 min"),
    ],
)
def test_a_time_is_never_none(seconds: float, said: str) -> None:
    assert duration(seconds) == said
