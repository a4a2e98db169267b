"""Help comes without transformers and torch, and says what the parsers know; commands run with the models known."""

import dataclasses
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from hf_llmrec.cli import COMMANDS
from hf_llmrec.cli.option_help import options_of

# What the console script of an installed package does, with its imports listed at the end.
SCRIPT = """
import sys
sys.argv[0] = "/some/where/bin/hf-llmrec"
from hf_llmrec.cli import main
try:
    status = main(sys.argv[1:])
except SystemExit as stop:
    status = stop.code
print("status", status, *sorted({"torch", "transformers", "numpy"} & set(sys.modules)))
"""


def run(*words: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True)
    return done.stdout.strip().splitlines()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_light_and_complete(name):
    *text, status = run(*name.split(), "--help")
    assert status == "status 0", status
    text = "\n".join(text)
    for place in COMMANDS[name].options:
        for option in options_of(place)[0]:
            shown = re.search(rf"--{option}\s", text) is not None
            assert shown != (f"--{option}" in COMMANDS[name].words), option


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--help"], 0, "train lcrec"),
        (["train", "--help"], 0, "train sasrec"),
        (["tune", "--help"], 0, "tune sasrec"),
        (["tune", "popularity"], 2, None),
        (["train"], 2, None),
        ([], 2, None),
        (["nothing"], 2, None),
        (["train", "nothing"], 2, None),
    ],
)
def test_help_without_a_command(words, status, said):
    *text, last = run(*words)
    assert last == f"status {status}" and bool(text) == (said is not None)
    assert said is None or said in "\n".join(text)


@pytest.mark.parametrize("place", sorted({place for command in COMMANDS.values() for place in command.options}))
def test_help_says_what_the_parser_knows(place):
    """The help is read from sources; the classes themselves are what counts."""
    module, _, name = place.partition(":")
    kind = getattr(import_module(f"hf_llmrec.{module}"), name)
    options, outside = options_of(place)
    ours = [each for each in kind.__mro__ if each.__module__.startswith("hf_llmrec")]
    annotated = [item for each in ours for item in each.__dict__.get("__annotations__", {}).items()]
    own = {name for name, annotation in annotated if not str(annotation).startswith("ClassVar")}
    fields = {field.name: field for field in dataclasses.fields(kind)}
    assert set(options) == own and set(options) <= set(fields)
    foreign = {base.__name__ for each in ours for base in each.__bases__ if base not in ours} - {"object"}
    assert set(outside) == foreign
    for option in options.values():
        field = fields[option.name]
        assert option.text == field.metadata["help"], option
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            assert option.default is None
        elif field.default is not dataclasses.MISSING and not isinstance(field.default, dict):
            assert option.default == str(field.default) or eval(option.default) == field.default
        elif "default" not in option.text:  # else the text says what the default is
            assert eval(option.default) == field.default_factory()


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.also])
def test_options_of_others_that_help_shows_exist(name):
    from transformers import TrainingArguments
    from trl import ModelConfig, SFTConfig

    kinds = (TrainingArguments,) if COMMANDS[name].words else (SFTConfig, ModelConfig)
    known = {field.name for kind in kinds for field in dataclasses.fields(kind)}
    assert {option for option, _ in COMMANDS[name].also} <= known


def test_all_options_are_one_more_word_away():
    text = "\n".join(run("train", "lcrec", "--help_all"))
    assert "--gradient_accumulation_steps" in text and "--train_index_rows" in text
    text = "\n".join(run("tune", "sasrec", "--help_all"))
    assert "--gradient_accumulation_steps" in text and "--budget" in text and "--item_dropout" in text


def test_commands_know_the_packages_models(dataset, tmp_path):
    dataset.save(tmp_path / "data")
    places = ["--dataset", str(tmp_path / "data"), "--output_dir", str(tmp_path / "knn")]
    assert run("train", "knn", *places, "--use_cpu", "True")[-1].startswith("status 0")
    assert (tmp_path / "knn" / "model.safetensors").is_file()
    assert run("recommend", str(tmp_path / "knn"), "--history", "i3")[-1].startswith("status 0")


def test_the_script_is_installed():
    assert (Path(sys.executable).parent / "hf-llmrec").is_file()
