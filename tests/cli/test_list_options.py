"""Options with several values, and options that are JSON: how people write them, and what is said of wrong ones."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from hf_llmrec.cli import main
from hf_llmrec.cli.ablate_options import AblationArguments
from hf_llmrec.cli.annotate_options import parser as annotate_options
from hf_llmrec.cli.baseline_options import BaselineArguments
from hf_llmrec.cli.compare_options import CompareArguments
from hf_llmrec.cli.galrec_options import GALRecArguments
from hf_llmrec.cli.index_options import IndexArguments
from hf_llmrec.cli.lcrec_options import LCRecArguments
from hf_llmrec.cli.option_parser import OptionParser
from hf_llmrec.cli.push_options import parser as push_options
from hf_llmrec.cli.recommend import as_json
from hf_llmrec.cli.recommend import parser as recommend_options
from hf_llmrec.methods.galrec.trainer_config import GALRecTrainingConfig
from hf_llmrec.methods.lcrec.trainer_config import LCRecTrainingConfig
from hf_llmrec.training.row_config import RowTrainingConfig


@pytest.mark.parametrize(
    "words",
    [
        ["--history", "-0TffX", "--7zmm"],
        ["--history", "a", "--history", "b", "-c"],
        ["--history=--7zmm", "--history=-0TffX"],
        ["--top_k", "3", "--history", "--", "--7zmm", "-0TffX", "--json"],
        ["--history", "-1", "--json", "--exclude", "-2", "x"],
        ["--history"],
        ["--exclude", "a", "--", "N"],
    ],
)
def test_lists_of_ids_that_look_like_options(words, capsys):
    expected = {
        "--history -0TffX --7zmm": None,
        "--history a --history b -c": {"history": ["a", "b", "-c"]},
        "--history=--7zmm --history=-0TffX": {"history": ["--7zmm", "-0TffX"]},
        "--top_k 3 --history -- --7zmm -0TffX --json": {"history": ["--7zmm", "-0TffX", "--json"], "json": False},
        "--history -1 --json --exclude -2 x": {"history": ["-1"], "json": True, "exclude": ["-2", "x"]},
        "--history": {"history": []},
        "--exclude a -- N": {"history": [], "exclude": ["a"], "model": "N"},
    }[" ".join(words)]
    place = [] if "N" in words else ["M"]
    if expected is None:
        with pytest.raises(SystemExit):
            recommend_options().parse_args([*place, *words])
        assert "unrecognized arguments: --7zmm" in (said := capsys.readouterr().err) and "--history=VALUE" in said
    else:
        found = vars(recommend_options().parse_args([*place, *words]))
        assert {name: found[name] for name in expected} == expected


def test_a_list_that_is_given_twice_counts_twice_in_every_command():
    def parsed(kind, *words):
        return OptionParser((kind,)).parse_args_and_config(list(words))[0]

    compared = parsed(CompareArguments, *"--dataset d --output o --models a --models b c --names x --names y z".split())
    assert (compared.models, compared.names) == (["a", "b", "c"], ["x", "y", "z"])
    varied = parsed(
        AblationArguments, *"--dataset d --base b --output_dir o --seeds 3 --seeds 4".split(), '--variants={"a": {}}'
    )
    assert varied.seeds == [3, 4]  # in place of the default
    assert parsed(GALRecArguments, *"--dataset d --title_hops 1 --title_hops 3".split()).title_hops == [1, 3]
    published = push_options().parse_args("--space me/a --space me/b --repo_id x --plots p --plots q".split())
    assert (published.space, published.plots) == (["me/a", "me/b"], ["p", "q"])
    kinds = annotate_options().parse_args("--dataset d --model m --kinds intentions --kinds preferences".split()).kinds
    assert kinds == ["intentions", "preferences"]
    parser = recommend_options()
    for _ in range(2):  # a parser that is used twice begins anew
        assert parser.parse_args(["M", "--history", "a"]).history == ["a"]


def test_lists_of_a_file_are_replaced_by_those_of_the_command_line(tmp_path):
    (tmp_path / "c.yaml").write_text("models: [a, b]\ndataset: d\noutput: o\n")
    config = f"--config={tmp_path / 'c.yaml'}"
    parse = OptionParser((CompareArguments,)).parse_args_and_config
    assert parse([config])[0].models == ["a", "b"]
    assert OptionParser((CompareArguments,)).parse_args_and_config([config, "--models", "c"])[0].models == ["c"]


def json_options():
    """Every option of a command that takes JSON, with what else the command needs."""
    lcrec, galrec = (LCRecArguments, LCRecTrainingConfig), (GALRecArguments, GALRecTrainingConfig)
    data, out = ["--dataset", "d"], ["--output_dir", "o"]
    return {
        **{name: (lcrec, [*data, *out, "--index", "i"]) for name in ("assume", "backbone_overrides", "task_weights")},
        **{name: (galrec, [*data, *out]) for name in ("teacher_options", "model_options", "loss_weights")},
        "lr_scheduler_kwargs": (galrec, [*data, *out]),
        "indexer_options": ((IndexArguments,), [*data, *out]),
        "variants": ((AblationArguments,), [*data, *out, "--base", "b"]),
        "baseline's model_options": ((BaselineArguments, RowTrainingConfig), [*data, *out, "--model", "knn"]),
    }


@pytest.mark.parametrize("name", json_options())
@pytest.mark.parametrize("value", ['{"a": 1', "{'a': 1}", "[1, 2]", "nothing"])
def test_malformed_json_names_its_option(name, value):
    kinds, words = json_options()[name]
    option = name.rpartition(" ")[2]
    if option == "lr_scheduler_kwargs" and not value.startswith("{"):
        value = "{" + value  # else it is transformers' to judge
    with pytest.raises(ValueError, match=rf"{option}.*(JSON|must be)"):
        OptionParser(kinds).parse_args_and_config([*words, f"--{option}", value])


@pytest.mark.parametrize("name", json_options())
def test_numbers_of_a_file_are_numbers(name, tmp_path):
    """YAML 1.1 takes 1e-4 for text."""
    kinds, words = json_options()[name]
    option = name.rpartition(" ")[2]
    inside = {"task_weights": "mut", "loss_weights": "user_to_user", "assume": "bf16", "model_options": "hidden_size"}
    key = inside.get(option, "x")
    key = "contrastive_temperature" if kinds[0] is GALRecArguments and option == "model_options" else key
    text = f"{{{key}: {{deep: 1e-4, deeper: [-2E+3, 5.e1]}}}}" if option == "variants" else f"{{{key}: 1e-4}}"
    (tmp_path / "c.yaml").write_text(f"{option}: {text}\n" + "dry_run: true\n" * (option == "assume"))
    try:
        parsed = OptionParser(kinds).parse_args_and_config([*words, "--config", str(tmp_path / "c.yaml")])
    except ValueError as error:  # a field that the model does not have
        assert f"--{option}" in str(error) and "has no" in str(error)
        return
    found = next(getattr(each, option) for each in parsed if hasattr(each, option))
    assert found[key] == ({"deep": 1e-4, "deeper": [-2000.0, 50.0]} if option == "variants" else 1e-4)


@pytest.mark.parametrize(
    "words, message",
    [
        (["build-index", "--output_dir", "o", "--indexer_options", '{"steps": "many"}'], "--indexer_options: steps"),
        (
            ["train", "lcrec", "--output_dir", "o", "--index", "i", "--task_weights", '{"mut": "much"}'],
            "task_weights: ",
        ),
        (["train", "galrec", "--output_dir", "o", "--loss_weights", '{"neighborhood": "x"}'], "loss_weights must"),
        (["train", "knn", "--output_dir", "o", "--model_options", '{"decay": "x"}'], "--model_options: "),
        (["train", "sasrec", "--output_dir", "o", "--model_options", '{"hidden_size": "x"}'], "--model_options: "),
        (["annotate", "--model", "m", "--extra_body", "[1]"], "--extra_body must be a JSON object"),
        (["annotate", "--model", "m", "--extra_body", "{x}"], "--extra_body: not valid JSON"),
        (["evaluate", "--model", "m", "--ask", "x"], "unrecognized arguments: --ask x"),
        (["evaluate", "--config"], "--config needs a YAML file"),
    ],
)
def test_one_line_names_the_option(words, message, dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    dataset.save("data")
    options = [] if "--config" in words else ["--dataset", "data"]
    options += ["--use_cpu", "True"] * (words[0] == "train")
    assert main([*words, *options] if "--config" not in words else words) == 1
    assert message in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "text, message",
    [
        ("[1", "not valid YAML"),
        ("- a\n", "must be a YAML mapping"),
        ("modle: m\ndataset: d", "there is no option --modle"),
    ],
)
def test_a_wrong_file_is_named(text, message, tmp_path, capsys):
    (tmp_path / "c.yaml").write_text(text)
    assert main(["evaluate", "--config", str(tmp_path / "c.yaml")]) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path / 'c.yaml'}: {message}" in said


def test_a_console_without_a_letter_shows_the_rest(tmp_path):
    """Whatever prints it: the streams are set before a command runs."""
    (tmp_path / "says.py").write_text(
        "import sys\n"
        "from hf_llmrec import cli\n"
        "from hf_llmrec.cli import recommend\n"
        "recommend.main = lambda words: print('Caf\\u00e9 \\u2014 \\u732b') or print('\\u732b', file=sys.stderr)\n"
        "sys.exit(cli.main(['recommend']))\n"
    )
    for encoding, shown in {"ascii": rb"Caf\xe9 \u2014 \u732b", "cp1252": b"Caf\xe9 \x97 \\u732b"}.items():
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        done = subprocess.run([sys.executable, str(tmp_path / "says.py")], capture_output=True, env=environment)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == shown and done.stderr.strip() == rb"\u732b"


def test_json_stays_json_on_any_console():
    answer = [{"item_id": "i", "title": "Café 猫", "score": 0.5}]
    for encoding in ("ascii", "cp1252", "utf-8", None):
        text = as_json(answer, encoding)
        assert json.loads(text.encode(encoding or "utf-8").decode(encoding or "utf-8")) == answer
    assert "猫" in as_json(answer, "utf-8")


def test_every_option_of_a_committed_file_is_one(tmp_path):
    """PyYAML's loader and ours read the committed configurations alike, but for numbers such as 1e-4."""
    from pathlib import Path

    from hf_llmrec.cli.config_file import read_config

    files = sorted((Path(__file__).parents[2] / "recipes" / "configs").rglob("*.yaml"))
    assert files
    for file in files:
        ours, plain = read_config(file), yaml.safe_load(file.read_text(encoding="utf-8"))
        assert ours.keys() == plain.keys()
        assert all(ours[key] == plain[key] or float(plain[key]) == ours[key] for key in ours)
