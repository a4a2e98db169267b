"""A checkpoint says what it can be resumed with; whatever differs is refused by name, or stated."""

import dataclasses
import json
import shutil

import pytest
import torch

from hf_llmrec.data.recommender_folder import RUN_FILE
from hf_llmrec.methods.sasrec.recommender import SASRecRecommender
from hf_llmrec.methods.sasrec.trainer import SASRecTrainer
from hf_llmrec.methods.sasrec.trainer_config import SASRecTrainingConfig
from hf_llmrec.training.checkpoints import last_complete_checkpoint
from hf_llmrec.training.run_record import RunRecord, is_free

OPTIONS = dict(
    max_steps=8,
    save_strategy="steps",
    save_steps=4,
    save_total_limit=9,
    logging_steps=1,
    tokens_per_batch=100,
    warmup_steps=2,
    load_best_model_at_end=False,
    eval_strategy="no",
    use_cpu=True,
    disable_tqdm=True,
    report_to="none",
    seed=1,
)


@pytest.fixture
def sasrec(dataset, tmp_path):
    """Makes a trainer; 240 training items, so three batches an epoch."""

    def make(folder="run", split=None, **options):
        torch.manual_seed(0)
        recommender = SASRecRecommender.from_dataset(dataset, hidden_size=16, max_position_embeddings=6)
        args = SASRecTrainingConfig(output_dir=str(tmp_path / folder), **{**OPTIONS, **options})
        return SASRecTrainer(recommender, args, split=split or dataset.split())

    return make


def losses(trainer):
    return {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}


def test_a_resumed_run_is_the_same_run(sasrec, tmp_path):
    whole = sasrec()
    whole.train()
    first = RunRecord.load(tmp_path / "run/checkpoint-4")
    shutil.rmtree(tmp_path / "run/checkpoint-8")
    resumed = sasrec()
    resumed.train(resume_from_checkpoint=True)
    assert losses(resumed) == pytest.approx(losses(whole))
    last = RunRecord.load(tmp_path / "run/checkpoint-8")
    assert first == last and first.num_processes == 1 and first.sharding == "none"


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"tokens_per_batch": 200}, "tokens_per_batch was 100, is 200"),
        ({"gradient_accumulation_steps": 2}, "gradient_accumulation_steps was 1, is 2"),
        ({"seed": 2}, "seed was 1, is 2"),
        ({"learning_rate": 0.5}, "learning_rate was 0.001, is 0.5"),
        ({"item_dropout": 0.0}, "item_dropout was 0.2, is 0.0"),
    ],
)
def test_options_that_change_what_is_learned_are_refused_by_name(sasrec, tmp_path, changes, words):
    sasrec().train()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=f"checkpoint-8 cannot be resumed: .*{words}"):
        sasrec(**changes, max_steps=12).train(resume_from_checkpoint=True)
    assert sorted(tmp_path.rglob("*")) == before


def test_other_rows_are_refused(sasrec, dataset, tmp_path):
    """As many rows of the same lengths, of other items."""
    sasrec().train()
    split = dataset.split()
    other = dataclasses.replace(split, train_indices=(split.train_indices + 1) % dataset.num_items)
    with pytest.raises(ValueError, match="its training rows were others"):
        sasrec(split=other, max_steps=12).train(resume_from_checkpoint=True)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"num_processes": 2}, "written by 2 processes, this run has 1"),
        ({"sharding": "zero3"}, "weights were sharded by zero3, now by none"),
        ({"data": {"protocol": "temporal"}}, "the data's protocol was temporal, is leave_one_out"),
        ({"command": {"backbone": "small"}}, "backbone was small, is None"),
    ],
)
def test_other_circumstances_are_refused(sasrec, tmp_path, change, words):
    trainer = sasrec()
    trainer.args.describe(data={"protocol": "leave_one_out"}, options={"k_core": 5})
    trainer.train()
    file = tmp_path / "run/checkpoint-8" / RUN_FILE
    record = json.loads(file.read_text())
    changed = {name: {**record[name], **value} if isinstance(value, dict) else value for name, value in change.items()}
    file.write_text(json.dumps({**record, **changed}))
    resumed = sasrec(max_steps=12)
    resumed.args.describe(data={"protocol": "leave_one_out"}, options={"k_core": 5})
    with pytest.raises(ValueError, match=words):
        resumed.train(resume_from_checkpoint=str(file.parent))


def test_what_changes_nothing_may_change(sasrec, tmp_path):
    whole = sasrec()
    whole.train()
    shutil.rmtree(tmp_path / "run/checkpoint-8")
    resumed = sasrec(save_steps=2, eval_users=3, patience=2, save_total_limit=5, run_name="x")
    resumed.train(resume_from_checkpoint=True)
    assert losses(resumed) == pytest.approx(losses(whole))


def test_more_steps_are_trained_and_stated(sasrec, caplog):
    sasrec().train()
    longer = sasrec(max_steps=10)
    longer.train(resume_from_checkpoint=True)
    assert sorted(losses(longer)) == list(range(1, 11))
    assert "checkpoint-8 is of a run of 8 steps, this one has 10" in caplog.text


def test_fewer_steps_than_were_trained_are_refused(sasrec, tmp_path):
    sasrec().train()
    with pytest.raises(ValueError, match="after 8 steps, and this run ends after 6.*--max_steps"):
        sasrec(max_steps=6).train(resume_from_checkpoint=True)


def test_of_a_finished_run_nothing_is_trained_any_more(sasrec, caplog):
    """Killed after its last checkpoint and before its model was saved; 8 steps end within the third epoch."""
    whole = sasrec()
    whole.train()
    resumed = sasrec()
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == 8 and "nothing is trained any more" in caplog.text
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_latest_run_is_resumed_not_the_longest(sasrec, tmp_path, caplog):
    sasrec(max_steps=12).train()
    new = sasrec(learning_rate=2e-3)
    new.train()
    assert "has checkpoints of an earlier run (checkpoint-12, checkpoint-8, checkpoint-4)" in caplog.text
    assert last_complete_checkpoint(tmp_path / "run") == str(tmp_path / "run/checkpoint-8")
    resumed = sasrec(learning_rate=2e-3, max_steps=9)
    resumed.train(resume_from_checkpoint=True)
    assert losses(resumed)[8] == losses(new)[8] and resumed.state.global_step == 9


def test_a_checkpoint_holds_no_file_of_a_save_before_it(sasrec, tmp_path):
    left = tmp_path / "run/checkpoint-4/model-00001-of-00002.safetensors"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of a run that was killed")
    sasrec().train()
    assert not left.exists() and (left.parent / "model.safetensors").exists()


def test_checkpoints_of_version_0_1_are_resumed_with_a_warning(sasrec, tmp_path, caplog):
    whole = sasrec()
    whole.train()
    for file in tmp_path.rglob(RUN_FILE):
        file.unlink()
    shutil.rmtree(tmp_path / "run/checkpoint-8")
    resumed = sasrec()
    resumed.train(resume_from_checkpoint=True)
    assert losses(resumed) == pytest.approx(losses(whole))
    assert "does not say what it can be resumed with" in caplog.text


@pytest.mark.parametrize("recorded", [True, False])
def test_a_checkpoint_without_the_optimizer_is_not_taken_for_an_incomplete_one(sasrec, tmp_path, recorded):
    sasrec(save_only_model=True).train()
    for file in [] if recorded else tmp_path.rglob(RUN_FILE):
        file.unlink()
    with pytest.raises(ValueError, match="checkpoint-8 holds the model only"):
        sasrec().train(resume_from_checkpoint=True)


def test_which_options_are_free():
    assert all(map(is_free, ("save_steps", "eval_strategy", "hub_model_id", "num_beams", "use_cpu", "logging_steps")))
    assert not any(map(is_free, ("learning_rate", "tokens_per_batch", "dataloader_drop_last", "optim", "base_model")))
