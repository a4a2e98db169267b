"""`SearchSpace`: the options that a search varies, and their ranges."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_BUNDLED = Path(__file__).parent / "spaces"
_KEYS = {"float": {"low", "high", "log"}, "int": {"low", "high", "log"}, "categorical": {"choices"}}
# Sampled numbers are rounded to so many significant digits, so that a configuration can be read and typed.
_DIGITS = 4


@dataclass(frozen=True)
class SearchEntry:
    """The values of one option.

    Args:
        kind: ``float``, ``int`` or ``categorical``.
        low: smallest value, of numbers.
        high: largest value, of numbers.
        log: whether numbers are sampled uniformly in their logarithm.
        choices: values of a ``categorical`` option, which JSON can hold.
    """

    kind: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Any, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The entry as a search space's YAML file has it."""
        if self.kind == "categorical":
            return {"type": self.kind, "choices": list(self.choices)}
        return {"type": self.kind, "low": self.low, "high": self.high, "log": self.log}

    def distribution(self) -> BaseDistribution:
        """The entry as Optuna's distribution; choices are their JSON text."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.kind == "categorical":
            return CategoricalDistribution([json.dumps(choice) for choice in self.choices])
        if self.kind == "int":
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def sampled(self, value: Any) -> Any:
        """The option's value for a value of `distribution`.

        Args:
            value: as Optuna samples it. Numbers are rounded to four significant digits within ``low`` and ``high``.
        """
        if self.kind == "categorical":
            return json.loads(value)
        if self.kind == "int":
            return int(value)
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)

    def stored(self, value: Any) -> Any:
        """The value of `distribution` for a value of the option.

        Args:
            value: of the option.

        Returns:
            the value; ``None`` if the entry does not have it.
        """
        if self.kind == "categorical":
            # Python's 1 and 1.0 are one choice, True is not.
            same = [
                each for each in self.choices if each == value and isinstance(each, bool) == isinstance(value, bool)
            ]
            return json.dumps(same[0]) if same else None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            return None
        if self.kind == "int":
            return int(value) if float(value).is_integer() else None
        return float(value)


class SearchSpace(Mapping[str, SearchEntry]):
    """A mapping of the options that a search varies to their values.

    A dotted name is a field of an option that takes a JSON object, such as ``model_options.hidden_size``.

    Args:
        entries: by option, ``{"type": "float", "low": .., "high": .., "log": ..}``, ``{"type": "int", ...}`` with the
            same keys (``log`` is optional), or ``{"type": "categorical", "choices": [...]}``.
        source: where they come from, for errors.

    Raises:
        ValueError: an entry is wrong; names it.

    Example:
        ```python
        space = SearchSpace({"learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}})
        space = SearchSpace.of_method("sasrec")
        ```
    """

    def __init__(self, entries: Mapping[str, Any], source: str = "the search space"):
        if not isinstance(entries, Mapping) or not entries:
            raise ValueError(f"{source}: must be a mapping of options to their values, with at least one option")
        self._entries = {str(name): _entry(entry, f"{source}: {name}") for name, entry in entries.items()}
        for name in self._entries:
            if not all(part.isidentifier() for part in name.split(".")):
                raise ValueError(f"{source}: {name} is no name of an option")
            above = [other for other in self._entries if name.startswith(f"{other}.")]
            if above:
                raise ValueError(f"{source}: {name} lies within {above[0]}, which is an entry, too")

    def __getitem__(self, name: str) -> SearchEntry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @classmethod
    def of_method(cls, name: str) -> SearchSpace:
        """A space of the package.

        Args:
            name: ``sasrec``, ``galrec`` and ``lcrec``, the latter two for models from scratch; ``galrec_pretrained``
                and ``lcrec_pretrained`` for pretrained ones.

        Raises:
            ValueError: there is no such space.
        """
        names = sorted(path.stem for path in _BUNDLED.glob("*.yaml"))
        if name not in names:
            raise ValueError(f"there is no search space {name!r}, only {', '.join(names)}")
        return cls.load(_BUNDLED / f"{name}.yaml")

    @classmethod
    def load(cls, path: str | os.PathLike) -> SearchSpace:
        """Read a space from a YAML file.

        Args:
            path: of the file.

        Raises:
            ValueError: the file is not YAML, or has a wrong entry; names both.
        """
        with open(path, encoding="utf-8") as stream:
            try:
                entries = yaml.safe_load(stream)
            except (yaml.YAMLError, UnicodeDecodeError) as error:
                raise ValueError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
        return cls(entries, str(path))

    def to_dict(self) -> dict[str, Any]:
        """The space as its YAML file has it, with all keys."""
        return {name: entry.to_dict() for name, entry in self.items()}


def _entry(entry: Any, place: str) -> SearchEntry:
    if not isinstance(entry, Mapping) or entry.get("type") not in _KEYS:
        raise ValueError(f"{place}: must be a mapping with a `type`, one of {', '.join(_KEYS)}, got {entry!r}")
    kind = entry["type"]
    unknown = sorted(set(map(str, entry)) - _KEYS[kind] - {"type"})
    if unknown:
        raise ValueError(f"{place}: {kind} has no {', '.join(unknown)}, only {', '.join(sorted(_KEYS[kind]))}")
    if kind == "categorical":
        choices = entry.get("choices")
        if not isinstance(choices, list) or not choices:
            raise ValueError(f"{place}: choices must be a list with at least one value, got {choices!r}")
        texts = [json.dumps(choice, default=str) for choice in choices]
        if len(set(texts)) < len(texts):
            raise ValueError(f"{place}: choices has the same value twice: {choices}")
        return SearchEntry(kind, choices=tuple(choices))
    low, high = (_number(entry, name, kind, place) for name in ("low", "high"))
    log = entry.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"{place}: log must be true or false, got {log!r}")
    if low > high:
        raise ValueError(f"{place}: low is {low:g}, more than high, {high:g}")
    if log and low <= 0:
        raise ValueError(f"{place}: low must be positive where log is true, got {low:g}")
    return SearchEntry(kind, low, high, log)


def _number(entry: Mapping[str, Any], name: str, kind: str, place: str) -> float:
    value = entry.get(name)
    if isinstance(value, str):  # YAML 1.1 reads 1e-4, without a point, as text
        try:
            value = float(value)
        except ValueError:
            pass
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{place}: {name} must be a number, got {value!r}")
    if kind == "int" and not float(value).is_integer():
        raise ValueError(f"{place}: {name} must be an integer, got {value!r}")
    return int(value) if kind == "int" else float(value)


def with_values(options: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Options in which some have other values.

    Args:
        options: values by name.
        values: further values; a dotted name is a field of a mapping, which is made if needed.

    Returns:
        a copy of ``options`` with the values.

    Raises:
        ValueError: a dotted name leads into an option that is no mapping.

    Example:
        ```python
        with_values({"seed": 0}, {"model_options.hidden_size": 64})  # {"seed": 0, "model_options": {"hidden_size": 64}}
        ```
    """
    result = copy.deepcopy(dict(options))
    for name, value in values.items():
        *parents, last = name.split(".")
        place = result
        for parent in parents:
            if place.get(parent) is None:
                place[parent] = {}
            place = place[parent]
            if not isinstance(place, dict):
                raise ValueError(f"{name}: {parent} is {place!r}, no mapping that could have {last}")
        place[last] = copy.deepcopy(value)
    return result


def value_of(options: Mapping[str, Any], name: str) -> Any:
    """The value of an option, ``None`` if it is not there.

    Args:
        options: values by name.
        name: of the option; a dotted name is a field of a mapping.
    """
    value: Any = options
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
