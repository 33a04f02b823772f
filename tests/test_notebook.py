"""`examples/quickstart.ipynb`: its cells run here in order; pictures are what Jupyter would show."""

import ast
import json
import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples" / "quickstart.ipynb"
CELLS = [cell for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]


def shown_by(cell, scope):
    """Run a cell; the value of its last expression, as a notebook shows it."""
    tree = ast.parse("".join(cell["source"]))
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, NOTEBOOK.name, "exec"), scope)
    return None if last is None else eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), scope)


def figures(cells):
    """The accuracy after each cycle, as it is printed."""
    outputs = [output for cell in cells for output in cell.get("outputs", ()) if output["output_type"] == "stream"]
    return [float(one) for output in outputs for one in re.findall(r"accuracy (\S+)", "".join(output["text"]))]


def test_its_cells_show_composites(tmp_path, monkeypatch, capsys, small):
    """In this process: a kernel would start torch once more, and take ten packages."""
    monkeypatch.chdir(tmp_path)
    better = [*small, "fine_tune.epochs=12", "keep=last", "data.test=200"]  # so that answers change
    pictures, scope = [], {}
    for cell in CELLS:
        source = "".join(cell["source"]).replace("settings = []", f"settings = {better}")
        value = shown_by({"source": [source]}, scope)
        if value is not None and hasattr(value, "_repr_png_"):
            pictures.append(value)
            assert value._repr_png_().startswith(b"\x89PNG")
    assert len(pictures) == 3
    before, strips, after = pictures
    assert min(before.size[0], strips.size[0], after.size[0]) >= 400
    said = capsys.readouterr().out
    assert said.count("cycle ") == 3
    assert "0.affine.rotation_deg" in said


def test_it_is_kept_with_its_pictures():
    """GitHub and editors show what was run last."""
    kept = [set(output.get("data", ())) for cell in CELLS for output in cell["outputs"]]
    assert sum("image/png" in data for data in kept) == 3
    assert NOTEBOOK.stat().st_size < 500_000


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_jupyter_runs_it(tmp_path):
    reason = (
        "needs nbclient and ipykernel: uv run --with nbclient --with ipykernel pytest -m slow tests/test_notebook.py"
    )
    nbclient = pytest.importorskip("nbclient", reason=reason)
    pytest.importorskip("ipykernel", reason=reason)
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "runs" / "notebook" / "result.json").is_file()
    kept, found = (figures(cells) for cells in (CELLS, notebook.cells))
    assert found == pytest.approx(
        kept, abs=0.05
    )  # other CPUs round otherwise; what is kept is run again when more moves
