"""The interaction graph as a file beside a model that was published with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save_file

from .files import staged
from .graph import Adjacency, InteractionGraph
from .recommender_folder import resolve_file

GRAPH_FILE = "interaction_graph.safetensors"


def save_graph(folder: str | os.PathLike, graph: InteractionGraph) -> None:
    """Write ``interaction_graph.safetensors``: who chose what, by row; no user ids."""
    tensors = {
        f"{side}_{name}": getattr(graph.adjacency(side), name)
        for side in ("user", "item")
        for name in ("indptr", "indices")
    }
    with staged(Path(folder)) as hidden:
        save_file(tensors, hidden / GRAPH_FILE)


def load_graph(path_or_hub_id: str | os.PathLike, **hub_kwargs: Any) -> InteractionGraph:
    """Read ``interaction_graph.safetensors`` of a folder or Hub repository.

    Raises:
        FileNotFoundError: the model was published without its graph.
    """
    found = load_file(resolve_file(path_or_hub_id, GRAPH_FILE, **hub_kwargs))
    return InteractionGraph(
        Adjacency(found["user_indptr"], found["user_indices"]), Adjacency(found["item_indptr"], found["item_indices"])
    )
