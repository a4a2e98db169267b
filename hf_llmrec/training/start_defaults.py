"""Defaults that depend on where a training starts: from pretrained weights, or from scratch."""

from __future__ import annotations

import copy
from typing import Any


class StartDefaults:
    """Put before `transformers.TrainingArguments` or a subclass that has an option ``pretrained``.

    Options of ``start_defaults`` that are ``None`` when the object is made get the default of ``pretrained``, at first
    that of pretrained weights. `start_from` replaces them, and ``pretrained`` itself, if nobody set them.

    Attributes:
        start_defaults: per option (its default for pretrained weights, its default from scratch).
    """

    start_defaults = {}  # of the class, so without a type

    def __post_init__(self):
        self._is_open = {name: getattr(self, name) is None for name in ("pretrained", *self.start_defaults)}
        self._fill(True if self.pretrained is None else self.pretrained)
        super().__post_init__()

    def start_from(self, pretrained: bool) -> None:
        """Take the defaults of options that nobody set.

        Args:
            pretrained: whether weights were loaded; the option of this name, if it was set, says otherwise.
        """
        self._fill(pretrained if self._is_open["pretrained"] else self.pretrained)
        self.check()

    def _fill(self, pretrained: bool) -> None:
        self.pretrained = pretrained
        for name, (tuned, from_scratch) in self.start_defaults.items():
            if self._is_open[name]:
                setattr(self, name, copy.copy(tuned if pretrained else from_scratch))

    @property
    def filled(self) -> dict[str, Any]:
        """Options that have a default that depends on the start, by name."""
        return {name: getattr(self, name) for name in self.start_defaults if self._is_open[name]}

    def check(self) -> None:
        """Refuse values that do not go together.

        Raises:
            ValueError: names the option.
        """
