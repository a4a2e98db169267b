"""Reading and writing the interaction graph of a published model."""

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
    """Write ``interaction_graph.safetensors``: the edges by row, without user ids.

    Args:
        folder: folder of the model.
        graph: graph to write.
    """
    tensors = {
        f"{side}_{name}": getattr(graph.adjacency(side), name)
        for side in ("user", "item")
        for name in ("indptr", "indices")
    }
    with staged(Path(folder)) as hidden:
        save_file(tensors, hidden / GRAPH_FILE)


def load_graph(path_or_hub_id: str | os.PathLike, **hub_kwargs: Any) -> InteractionGraph:
    """Read ``interaction_graph.safetensors`` from a folder or Hub repository.

    Args:
        path_or_hub_id: folder or Hub id of the model.
        **hub_kwargs: options of ``from_pretrained`` such as ``revision``, see `recommender_folder.HUB_OPTIONS`.

    Raises:
        FileNotFoundError: the model was published without its graph.
    """
    tensors = load_file(resolve_file(path_or_hub_id, GRAPH_FILE, **hub_kwargs))
    return InteractionGraph(
        user_items=Adjacency(tensors["user_indptr"], tensors["user_indices"]),
        item_users=Adjacency(tensors["item_indptr"], tensors["item_indices"]),
    )
