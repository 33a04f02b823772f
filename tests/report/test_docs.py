import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "report.md"


def test_the_example_of_the_docs_builds_a_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = re.search(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL).group(1)
    exec(compile(example, str(DOCS), "exec"), {})
    assert "My composites" in (tmp_path / "mine.html").read_text("utf-8")
