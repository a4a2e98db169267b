"""Repair of generation configurations that transformers can load but not save."""

from __future__ import annotations

import copy
import logging

from transformers import GenerationConfig, PreTrainedModel

logger = logging.getLogger(__name__)
# Modes of decoding, which the validity of the other options depends on.
_MODES = ("do_sample", "num_beams", "use_cache", "return_dict_in_generate")


def mend_generation_config(model: PreTrainedModel, name: str) -> list[str]:
    """Reset the options of a model's generation configuration that transformers refuses to save.

    Many published models have sampling options beside ``do_sample: false``. transformers loads such a configuration
    with a notice, and refuses to save it once anything in it was changed, as training does with the special tokens.
    As many options are retained as are valid together; ``do_sample`` and ``num_beams`` have priority.

    Args:
        model: its ``generation_config`` is replaced where it cannot be saved.
        name: name of the model, for the warning.

    Returns:
        The names of the options that were reset to their defaults, sorted.
    """
    given = model.generation_config
    if given is None or _is_valid(given):
        return []
    defaults = GenerationConfig()
    mended, changed = copy.deepcopy(given), []
    for option in vars(defaults):
        if getattr(given, option, None) != getattr(defaults, option) and not option.endswith("_token_id"):
            setattr(mended, option, getattr(defaults, option))
            changed.append(option)
    dropped = []
    for option in sorted(changed, key=lambda option: (option not in _MODES, option)):
        setattr(mended, option, getattr(given, option))
        if not _is_valid(mended):
            setattr(mended, option, getattr(defaults, option))
            dropped.append(option)
    logger.warning(
        "the generation configuration of %s cannot be saved as it is: reset to their defaults: %s",
        name,
        ", ".join(f"{option} (was {getattr(given, option)})" for option in sorted(dropped)),
    )
    model.generation_config = mended
    return sorted(dropped)


def _is_valid(config: GenerationConfig) -> bool:
    try:
        config.validate(strict=True)
    except ValueError:
        return False
    return True
