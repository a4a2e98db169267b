"""Options of ``quickstart``."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class QuickstartArguments:
    """Where to write, and how much to show.

    Args:
        output_dir: folder for the index, the models and ``metrics.json``.
        users: how many users to show with their recommendations.
    """

    output_dir: str = field(
        default="outputs/quickstart", metadata={"help": "folder for the index, models and metrics.json"}
    )
    users: int = field(default=5, metadata={"help": "how many users to show with their recommendations"})
