"""Environment of commands that a command starts as processes of their own."""

from __future__ import annotations

import os

# Variables of a process group, which such a process must not join.
_GROUP = ("RANK", "WORLD_SIZE", "LOCAL_", "MASTER_", "GROUP_", "ROLE_", "TORCHELASTIC_")


def environment_outside_group(*also: str) -> dict[str, str]:
    """The environment without the variables of the process group.

    Args:
        also: beginnings of the names of further variables that are left out.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith((*_GROUP, *also))}
