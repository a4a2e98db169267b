"""notebooks/quickstart.ipynb, executed by a Jupyter kernel as it stands, with a local Hub to publish to."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FILE = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"


def text_of(cell) -> str:
    """What a cell printed, and the value of its last line."""
    parts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "\n".join(parts)


def test_stored_outputs_are_of_a_run_without_errors():
    notebook = nbformat.read(FILE, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
    printed = "\n".join(map(text_of, code))
    assert "against SASRec" in printed
    assert not re.search(r"(?<![\w.])/\w+/\w", printed), "a path of the machine it was run on"


@pytest.mark.slow
def test_the_notebook_runs_as_it_stands(hub, home, tmp_path):
    notebook = nbformat.read(FILE, as_version=4)
    publish = notebook.cells[-1]
    assert 'HUB_REPO = ""' in publish.source
    publish.source = publish.source.replace('HUB_REPO = ""', 'HUB_REPO = "me/galrec-shop"')
    client = NotebookClient(notebook, timeout=1800, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    client.execute(env=hub.environment(home))
    nbformat.write(notebook, tmp_path / "executed.ipynb")  # whoever renews the stored outputs finds them here
    printed = {
        word: text_of(cell) for cell in notebook.cells if cell.cell_type == "code" for word in [cell.source[:40]]
    }
    comparison = next(text for text in printed.values() if "against SASRec" in text)
    ndcg = {line.split()[0]: float(line.split("NDCG@10")[1].split()[0]) for line in comparison.splitlines() if line}
    assert set(ndcg) == {"popularity", "sasrec", "lcrec", "galrec"}
    assert min(ndcg["sasrec"], ndcg["lcrec"], ndcg["galrec"]) > 1.3 * ndcg["popularity"]
    assert "'item_id'" in text_of(publish) and ("models", "me/galrec-shop") in hub.repos
