"""Searches whose training is a formula and whose clock is a counter: spaces, budgets, pruning, what is kept."""

import json
from pathlib import Path

import pytest
import yaml

from hf_llmrec.tuning.durations import seconds_of
from hf_llmrec.tuning.search import HyperparameterSearch
from hf_llmrec.tuning.space import SearchSpace, value_of, with_values

SPACE = {
    "rate": {"type": "float", "low": 0.001, "high": 1.0, "log": True},
    "model_options.width": {"type": "categorical", "choices": [8, 16, 32]},
    "layers": {"type": "int", "low": 1, "high": 4},
}


class Clock:
    """Seconds that pass only when somebody says so."""

    def __init__(self):
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def score(options: dict) -> float:
    """Best at rate 0.1, width 16 and 2 layers, with 1.0."""
    rate, layers = options.get("rate", 0.5), options.get("layers", 4)
    width = options.get("model_options", {}).get("width", 32)
    return 1.0 - abs(rate - 0.1) - 0.1 * (width != 16) - 0.1 * abs(layers - 2)


def training(clock=None, seconds=10.0, calls=None):
    def train(trial):
        trial.folder.mkdir(parents=True, exist_ok=True)
        (trial.folder / "weights").write_text(json.dumps(trial.options))
        if calls is not None:
            calls.append(trial.options)
        if clock is not None:
            clock.now += seconds
            trial.check()
        return score(trial.options)

    return train


def searched(folder, **options):
    return HyperparameterSearch(SearchSpace(SPACE), folder, **{"num_trials": 8, **options})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2h", 7200),
        ("30m", 1800),
        ("1h30m", 5400),
        ("1h 30min", 5400),
        ("90s", 90),
        ("90", 90),
        (45, 45),
        ("0.5h", 1800),
    ],
)
def test_durations(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "2d", "h", "-5", "0", "0m", "30m1h", "inf", "nan", "1h-5m"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="^budget must be"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (3, "rate: must be a mapping with a `type`"),
        ({"type": "real", "low": 0, "high": 1}, "rate: must be a mapping with a `type`"),
        ({"type": "float", "low": 0}, "rate: high must be a number, got None"),
        ({"type": "float", "low": 2, "high": 1}, "rate: low is 2, more than high, 1"),
        ({"type": "float", "low": 0, "high": 1, "log": True}, "rate: low must be positive"),
        ({"type": "float", "low": 0, "high": 1, "log": "yes"}, "rate: log must be true or false"),
        ({"type": "float", "low": 0, "high": "much"}, "rate: high must be a number, got 'much'"),
        ({"type": "int", "low": 0, "high": 1.5}, "rate: high must be an integer"),
        ({"type": "int", "low": 0, "high": 1, "choices": [1]}, "rate: int has no choices"),
        ({"type": "categorical", "choices": []}, "rate: choices must be a list"),
        ({"type": "categorical", "choices": [1, 1]}, "rate: choices has the same value twice"),
    ],
)
def test_a_wrong_entry_is_named(entry, message, tmp_path):
    (tmp_path / "space.yaml").write_text(yaml.safe_dump({"layers": SPACE["layers"], "rate": entry}))
    with pytest.raises(ValueError, match="space.yaml: ") as error:
        SearchSpace.load(tmp_path / "space.yaml")
    assert message in str(error.value)


@pytest.mark.parametrize(
    "entries", [{}, [], {"model options": SPACE["rate"]}, {"a": SPACE["rate"], "a.b": SPACE["rate"]}]
)
def test_a_wrong_space(entries):
    with pytest.raises(ValueError, match="^the search space: "):
        SearchSpace(entries)


def test_numbers_without_a_point_are_numbers(tmp_path):
    (tmp_path / "space.yaml").write_text("rate: {type: float, low: 1e-4, high: 1e-2, log: true}")
    assert SearchSpace.load(tmp_path / "space.yaml")["rate"].low == 1e-4


def test_dotted_names_reach_into_options():
    options = {"model_options": {"layers": 2}, "seed": 0}
    values = {"model_options.hidden_size": 64, "rate": 0.1}
    assert with_values(options, values) == {"model_options": {"layers": 2, "hidden_size": 64}, "seed": 0, "rate": 0.1}
    assert options == {"model_options": {"layers": 2}, "seed": 0}
    assert value_of(options, "model_options.layers") == 2 and value_of(options, "seed.layers") is None
    with pytest.raises(ValueError, match="seed.x: seed is 0"):
        with_values(options, {"seed.x": 1})


@pytest.mark.parametrize("name", ["sasrec", "lcrec", "lcrec_pretrained", "galrec", "galrec_pretrained"])
def test_spaces_of_the_package_name_options_of_the_commands(name):
    from dataclasses import fields

    from hf_llmrec.cli.tune import OPTIONS
    from hf_llmrec.methods.galrec.configuration_galrec import GALRecConfig
    from hf_llmrec.methods.galrec.losses import ALIGNMENTS
    from hf_llmrec.methods.sasrec.configuration_sasrec import SASRecConfig

    known = {each.name for kind in OPTIONS[name.partition("_")[0]] for each in fields(kind)}
    config = SASRecConfig() if name == "sasrec" else GALRecConfig()
    inner = {"model_options": set(config.to_dict()), "loss_weights": set(ALIGNMENTS)}
    inner["backbone_overrides"] = {"hidden_size", "num_hidden_layers"}
    for option in SearchSpace.of_method(name):
        first, _, last = option.partition(".")
        assert first in known and (not last or last in inner[first]), option


def test_the_defaults_come_first_and_the_best_is_kept(tmp_path):
    calls = []
    best = searched(tmp_path, options={"shared": 1}).run(training(calls=calls))
    assert len(calls) == 8 and calls[0] == {"shared": 1}
    for options in calls[1:]:
        assert 0.001 <= options["rate"] <= 1 and options["model_options"]["width"] in (8, 16, 32)
        assert options["layers"] in (1, 2, 3, 4) and options["rate"] == float(f"{options['rate']:.4g}")
    values = [score(options) for options in calls]
    assert best.value == max(values) and best.number == values.index(max(values)) > 0
    # Of the recommenders the best one is left, with its options.
    assert json.loads((tmp_path / "best/weights").read_text()) == calls[best.number]
    assert not list(tmp_path.glob("trials/*/model"))
    assert yaml.safe_load((tmp_path / "best.yaml").read_text()) == calls[best.number]
    report = json.loads((tmp_path / "trials.json").read_text())
    assert [each["value"] for each in report["trials"]] == sorted(values, reverse=True)
    assert report["best"] == best.number and report["ended"] == "all 8 trials are done"
    rows = (tmp_path / "trials.md").read_text().splitlines()[2:10]
    assert rows[0].startswith(f"| {best.number} | {best.value:.4f} | 0 | complete |")
    assert sum("(defaults)" in row for row in rows) == 1


def test_the_search_learns(tmp_path):
    """Random values score 0.68 on average, later trials more."""
    calls = []
    searched(tmp_path, num_trials=40, prune=False).run(training(calls=calls))
    values = [score(options) for options in calls]
    assert sum(values[-20:]) / 20 > 0.75 and max(values) > 0.95


def test_an_interrupted_search_tries_what_an_uninterrupted_one_does(tmp_path):
    whole, parts = [], []
    searched(tmp_path / "one").run(training(calls=whole))

    def interrupted(trial):
        if trial.number == 4:
            parts.append("interrupted")
            raise KeyboardInterrupt
        return training(calls=parts)(trial)

    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path / "two").run(interrupted)
    assert json.loads((tmp_path / "two/trials/0004/trial.json").read_text())["state"] == "running"
    searched(tmp_path / "two").run(training(calls=parts))
    assert parts.pop(4) == "interrupted" and parts == whole
    # More trials may be added; those that are there are not repeated.
    searched(tmp_path / "two", num_trials=10).run(training(calls=parts))
    assert len(parts) == 10 and parts[:8] == whole


def test_what_was_learned_of_the_defaults_is_used(tmp_path):
    """The sampler knows trial 0 by its values, and its options do not name them."""
    calls = []

    def train(trial):
        trial.learn({"rate": 0.5, "layers": 9, "model_options": {"width": 32}, "other": 1})
        return training(calls=calls)(trial)

    searched(tmp_path, num_trials=3).run(train)
    first = json.loads((tmp_path / "trials/0000/trial.json").read_text())
    assert first["params"] == {"rate": 0.5, "layers": 9, "model_options.width": 32} and calls[0] == {}
    assert "| 0 (defaults) | 0.3000 | 0 | complete | 0.5 | 32 | 9 |" in (tmp_path / "trials.md").read_text()
    assert (
        "layers" in calls[1] and json.loads((tmp_path / "trials/0001/trial.json").read_text())["params"]["layers"] < 5
    )


def test_a_trial_that_does_not_fit_is_not_begun(tmp_path):
    clock, calls = Clock(), []
    search = searched(tmp_path, num_trials=None, budget="35s", clock=clock)
    search.run(training(clock, 10.0, calls))
    report = json.loads((tmp_path / "trials.json").read_text())
    assert len(calls) == 3 and clock.now == 130.0
    assert report["ended"] == "another trial takes about 10 s, and 5 s of the budget of 35 s are left"
    assert {each["seconds"] for each in report["trials"]} == {10.0} and report["budget_s"] == 35
    # The same command again has no time left either; a longer budget has.
    searched(tmp_path, num_trials=None, budget="35s", clock=clock).run(training(clock, 10.0, calls))
    assert len(calls) == 3
    searched(tmp_path, num_trials=None, budget="50s", clock=clock).run(training(clock, 10.0, calls))
    assert len(calls) == 5


def test_a_trial_that_is_not_done_in_time_is_stopped(tmp_path):
    clock = Clock()

    def train(trial):
        if trial.number < 2:
            return training(clock, 10.0)(trial)
        for _ in range(100):
            clock.now += 1
            trial.check()
        raise AssertionError("nobody stopped it")

    best = searched(tmp_path, num_trials=None, budget=32, clock=clock).run(train)
    report = json.loads((tmp_path / "trials.json").read_text())
    last = report["trials"][-1]
    assert best.number < 2 and clock.now == 132.0 and report["ended"] == "the budget of 32 s is spent"
    assert (last["number"], last["state"], last["seconds"]) == (2, "stopped", 12.0)
    assert "- trial 2: the budget was spent" in (tmp_path / "trials.md").read_text()


def test_the_defaults_take_as_long_as_they_take(tmp_path):
    clock, calls = Clock(), []
    best = searched(tmp_path, num_trials=None, budget=5, clock=clock).run(training(clock, 60.0, calls))
    assert best.number == 0 and len(calls) == 1


def test_a_hopeless_trial_is_given_up(tmp_path):
    """From the fifth trial on; the defaults never are."""
    seen = {}

    def train(trial):
        for percent in (10, 20, 30, 100):
            seen.setdefault(trial.number, []).append(percent)
            trial.report(0.5 + 0.01 * trial.number if trial.number != 5 else 0.1, percent / 100)
        return 0.5 + 0.01 * trial.number

    searched(tmp_path, num_trials=7).run(train)
    report = json.loads((tmp_path / "trials.json").read_text())
    pruned = [each for each in report["trials"] if each["state"] == "pruned"]
    assert [each["number"] for each in pruned] == [5] and seen[5] == [10, 20]
    assert pruned[0]["reason"] == "ndcg@10 0.1000 after 20 % of the training, below the median"
    seen.clear()
    searched(tmp_path / "all", num_trials=7, prune=False).run(train)
    assert seen[5] == [10, 20, 30, 100]


def test_a_failed_trial_is_recorded_and_the_search_goes_on(tmp_path):
    def train(trial):
        if trial.number in (0, 2):
            raise RuntimeError("out of memory:\n use less")
        return float("nan") if trial.number == 3 else training()(trial)

    best = searched(tmp_path, num_trials=5).run(train)
    report = json.loads((tmp_path / "trials.json").read_text())
    failed = {each["number"]: each["reason"] for each in report["trials"] if each["state"] == "failed"}
    words = "out of memory: use less"
    assert failed == {0: words, 2: words, 3: "ndcg@10 is not a number"} and best.number in (1, 4)
    assert not list(tmp_path.glob("trials/*/model")) and (tmp_path / "best/weights").is_file()


def test_a_search_in_which_everything_fails_says_why(tmp_path):
    calls = []

    def train(trial):
        calls.append(trial.number)
        raise RuntimeError(f"no luck {trial.number}")

    with pytest.raises(ValueError, match="no trial was completed; the first one: no luck 0"):
        searched(tmp_path, num_trials=None, budget="1h").run(train)
    assert calls == [0, 1, 2, 3, 4]
    assert "no luck 4" in (tmp_path / "trials.md").read_text() and not (tmp_path / "best.yaml").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": {"shared": 2}}, "options.shared was 1, is 2"),
        ({"options": {"shared": 1, "more": 3}}, "options.more was not set, is 3"),
        ({"seed": 1}, "seed was 0, is 1"),
        ({"metric": "ndcg@5"}, 'metric was "ndcg@10", is "ndcg@5"'),
        ({"facts": {"data": {"fingerprint": "b"}}}, 'data.fingerprint was "a", is "b"'),
        ({"space": {**SPACE, "layers": {"type": "int", "low": 1, "high": 5}}}, "space.layers.high was 4, is 5"),
    ],
)
def test_another_search_in_the_same_folder_is_refused(change, message, tmp_path):
    first = {"options": {"shared": 1}, "facts": {"data": {"fingerprint": "a"}}, "num_trials": 2}
    HyperparameterSearch(SearchSpace(SPACE), tmp_path, **first).run(training())
    space = SearchSpace(change.pop("space", SPACE))
    with pytest.raises(ValueError, match="output_dir .* has the trials of another search") as error:
        HyperparameterSearch(space, tmp_path, **{**first, **change}).run(training())
    assert message in str(error.value)


def test_two_processes_do_not_search_in_one_folder(tmp_path):
    def train(trial):
        with pytest.raises(ValueError, match="another process searches here"):
            searched(tmp_path).run(training())
        return 1.0

    searched(tmp_path, num_trials=1).run(train)


def test_a_kill_between_the_end_of_a_trial_and_its_clean_up_is_made_good(tmp_path):
    calls = []
    best = searched(tmp_path).run(training(calls=calls))
    # As if the process had been killed while it replaced the best recommender, and before the tables were written.
    model = tmp_path / f"trials/{best.number:04d}/model"
    Path(tmp_path / "best").rename(model)
    other = tmp_path / f"trials/{(best.number + 1) % 8:04d}/model"
    other.mkdir()
    (tmp_path / "trials.md").unlink()
    searched(tmp_path).run(training(calls=calls))
    assert len(calls) == 8 and not model.exists() and not other.exists()
    assert json.loads((tmp_path / "best/weights").read_text()) == calls[best.number]
    assert (tmp_path / "trials.md").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_trials": None}, "budget or num_trials is needed"),
        ({"num_trials": 0}, "num_trials must be at least 1"),
        ({"budget": "soon"}, "budget must be a duration"),
        ({"options": {"model_options": "wide"}}, "model_options.width: model_options is 'wide'"),
    ],
)
def test_refused_before_it_starts(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        searched(tmp_path, **options)
