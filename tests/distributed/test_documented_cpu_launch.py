"""`accelerate launch --config_file recipes/accelerate_configs/ddp_cpu.yaml` as documented: two processes, one model."""

import json

import pytest

from . import test_galrec_training
from .conftest import TINY, Recipe

pytestmark = [pytest.mark.slow, pytest.mark.ci]


def without_device(options) -> tuple[str, ...]:
    """Options as a user gives them who only names the launcher's configuration."""
    options, place = list(options), list(options).index("--use_cpu")
    return (*options[:place], *options[place + 2 :])


def check_one_model(recipe: Recipe, folder, ddp, batches: tuple[list[str], list[str]]) -> None:
    """Two launched processes make the checkpoint, and have the losses, of one run in two processes."""
    options = ["--max_steps", "4", "--save_strategy", "steps", "--save_steps", "4"]
    two = recipe.losses(folder / "two", [*options, *batches[0]], ddp)
    states = sorted(path.name for path in (folder / "two/checkpoint-4").glob("rng_state*"))
    assert states == ["rng_state_0.pth", "rng_state_1.pth"]
    one = recipe.losses(folder / "one", [*options, *batches[1]])
    assert len(two) == 4 and two == pytest.approx(one, rel=2e-4)
    reports = [json.loads((folder / name / "training_report.json").read_text()) for name in ("one", "two")]
    assert reports[0]["validation"] == pytest.approx(reports[1]["validation"])


def test_lcrec(recipe, ddp, tmp_path):
    places = ("--index", str(recipe.folder / "index"), "--model_name_or_path", str(recipe.folder / "base"))
    documented = Recipe(recipe.folder, options=(*places, *without_device(TINY)))
    check_one_model(documented, tmp_path, ddp, ([], ["--gradient_accumulation_steps", "2"]))


def test_galrec(recipe, ddp, tmp_path):
    base = ("--model_name_or_path", str(recipe.folder / "base"))
    options = (*base, *without_device(test_galrec_training.COMMON))
    documented = Recipe(recipe.folder, "train_galrec.py", options)
    sizes = [["--per_device_train_batch_size", size] for size in ("5", "10")]
    check_one_model(documented, tmp_path, ddp, (sizes[0], sizes[1]))
