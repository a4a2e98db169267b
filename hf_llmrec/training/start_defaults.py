"""Defaults that depend on where a training starts: from pretrained weights, or from scratch."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

from .config_base import ConfigBase


class StartDefaults(ConfigBase):
    """Mixin before `transformers.TrainingArguments` or a subclass that has an option ``pretrained``.

    Options of ``start_defaults`` that are ``None`` when the object is created get the default that belongs to
    ``pretrained``, at first that of pretrained weights. `start_from` replaces these defaults, and ``pretrained`` itself
    unless it was set.

    Attributes:
        start_defaults: by option, (its default for pretrained weights, its default from scratch).
    """

    start_defaults: ClassVar[dict[str, tuple[Any, Any]]] = {}

    def __post_init__(self):
        self._is_open = {name: getattr(self, name) is None for name in ("pretrained", *self.start_defaults)}
        self._fill(True if self.pretrained is None else self.pretrained)
        super().__post_init__()

    def start_from(self, pretrained: bool) -> None:
        """Fill the options that were not set with the defaults of this start, in place.

        Args:
            pretrained: whether weights were loaded. The option of the same name takes precedence where it was set.

        Raises:
            ValueError: see `check`.
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
        """Options that were filled with a default that depends on the start, by name."""
        return {name: getattr(self, name) for name in self.start_defaults if self._is_open[name]}

    def check(self) -> None:
        """Refuse values that do not go together; subclasses override it.

        Raises:
            ValueError: names the option.
        """
