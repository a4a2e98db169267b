"""A trial whose training runs in this process: its callback, and callbacks for trainers that are created elsewhere."""

import json

import pytest
from transformers import TrainerCallback

from hf_llmrec.methods.sasrec.recommender import SASRecRecommender
from hf_llmrec.methods.sasrec.trainer import SASRecTrainer
from hf_llmrec.methods.sasrec.trainer_config import SASRecTrainingConfig
from hf_llmrec.training.added_callbacks import added_callbacks
from hf_llmrec.tuning.search import HyperparameterSearch
from hf_llmrec.tuning.space import SearchSpace

SPACE = {
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    "model_options.hidden_size": {"type": "categorical", "choices": [8, 16]},
}


def trainer_of(dataset, folder, *, learning_rate=1e-3, callbacks=None, **model_options):
    recommender = SASRecRecommender.from_dataset(dataset, **{"hidden_size": 8, **model_options})
    options = {"max_steps": 4, "eval_steps": 2, "save_steps": 2, "use_cpu": True, "disable_tqdm": True}
    config = SASRecTrainingConfig(str(folder), learning_rate=learning_rate, **options)
    return SASRecTrainer(recommender, config, split=dataset.split(), callbacks=callbacks)


def test_a_search_in_python(dataset, tmp_path):
    logged = {}

    def train(trial):
        options = dict(trial.options)
        fields = options.pop("model_options", {})
        trainer = trainer_of(dataset, trial.folder, callbacks=[trial.callback()], **options, **fields)
        trainer.train()
        log = trainer.state.log_history
        logged[trial.number] = {str(25 * each["step"]): each["eval_ndcg@10"] for each in log if "eval_ndcg@10" in each}
        trainer.save_recommender(trial.folder)
        return trainer.rank()[trial.metric]

    best = HyperparameterSearch(SearchSpace(SPACE), tmp_path, num_trials=2).run(train)
    trials = {each["number"]: each for each in json.loads((tmp_path / "trials.json").read_text())["trials"]}
    assert {number: each["evaluations"] for number, each in trials.items()} == logged
    assert list(logged[0]) == ["50", "100"]
    assert trials[0]["params"] == {"learning_rate": 1e-3, "model_options.hidden_size": 8}
    assert best.value == max(each["value"] for each in trials.values())


def test_callbacks_are_added_inside_the_block_alone(dataset, tmp_path):
    class Steps(TrainerCallback):
        def __init__(self):
            self.count = 0

        def on_step_end(self, args, state, control, **kwargs):
            self.count += 1

    outer, inner = Steps(), Steps()
    with pytest.raises(RuntimeError), added_callbacks(outer):
        with added_callbacks(inner):
            trainer_of(dataset, tmp_path / "one").train()
        trainer_of(dataset, tmp_path / "two").train()
        raise RuntimeError
    trainer_of(dataset, tmp_path / "three").train()
    assert (outer.count, inner.count) == (8, 4)
