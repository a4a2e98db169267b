"""Untrained recommenders of one catalogue, as a Space shows them."""

import json
import shutil

import pytest

from hf_llmrec.data.graph import InteractionGraph
from hf_llmrec.data.graph_files import save_graph

SCRIPT = "<script>document.title = 'taken over'</script><img src=x onerror=\"document.title = 'taken over'\">"


@pytest.fixture(scope="module")
def sources(recommender_folders, dataset, tmp_path_factory):
    """Folders of LC-Rec, GAL-Rec with its graph, and SASRec; item i3 has a title that attacks."""
    root, found = tmp_path_factory.mktemp("space"), []
    for method in ("lcrec", "galrec", "sasrec"):
        folder = root / method
        shutil.copytree(recommender_folders[method], folder)
        catalog = json.loads((folder / "item_catalog.json").read_text())
        catalog["items"][3]["title"] = SCRIPT
        (folder / "item_catalog.json").write_text(json.dumps(catalog))
        found.append(folder)
    save_graph(root / "galrec", InteractionGraph.from_split(dataset.split(), dataset.num_items))
    settings = root / "galrec" / "recommender.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "graph": True}))
    return found
