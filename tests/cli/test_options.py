"""What the commands share: threads of a CPU run, options that differ from the defaults."""

import dataclasses
import enum

import pytest
import torch

from hf_llmrec.cli.option_parser import OptionParser
from hf_llmrec.cli.options import DatasetArguments
from hf_llmrec.cli.processes import set_cpu_threads
from hf_llmrec.cli.results import changed_options


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    threads = torch.get_num_threads()
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)
    for name in ("ACCELERATE_USE_CPU", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "environment, expected",
    [
        ({}, 8),
        ({"OMP_NUM_THREADS": "1"}, 1),  # somebody's choice
        ({"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "False"}, 8),  # accelerate's default
        ({"OMP_NUM_THREADS": "3", "ACCELERATE_USE_CPU": "False"}, 3),
        ({"OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "2"}, 4),
        ({"LOCAL_WORLD_SIZE": "100"}, 1),
    ],
)
def test_threads_of_a_cpu_run(monkeypatch, environment, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert set_cpu_threads() == expected == torch.get_num_threads()


def test_a_given_number_of_threads_wins(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert set_cpu_threads(2) == torch.get_num_threads() == 2
    with pytest.raises(ValueError, match="--cpu_threads"):
        set_cpu_threads(0)


class Kind(enum.Enum):
    A = "a"
    B = "b"


@dataclasses.dataclass
class Options:
    dataset: str = "x"
    rate: float = 0.1
    kind: Kind = Kind.A
    model_name_or_path: str | None = None


def test_one_value_of_a_list_in_a_config_file(tmp_path):
    for text in ("cold_seed: 4", "cold_seed: [4]"):
        (tmp_path / "c.yaml").write_text(f"dataset: demo\ncold_items: 0.1\n{text}\n")
        (arguments,) = OptionParser((DatasetArguments,)).parse_args_and_config(["--config", str(tmp_path / "c.yaml")])
        assert arguments.cold_seed == [4] and arguments.split_options["cold_seed"] == 4


def test_changed_options_are_what_was_set_and_no_paths(tmp_path):
    assert changed_options(Options(), Options()) == {}
    changed = changed_options(Options("/data", 0.2, Kind.B, "org/base"), Options())
    assert changed == {"rate": 0.2, "kind": "b", "base_model": "org/base"}
    assert changed_options(Options(model_name_or_path=str(tmp_path)), Options()) == {"base_model": tmp_path.name}
