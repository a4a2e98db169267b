"""A log of forty numbers: people see a short line, trackers and the report all of it."""

import pytest
from transformers import TrainerCallback

from hf_llmrec.training.short_log import short_line


class Tracker(TrainerCallback):
    def __init__(self):
        self.logs = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.logs.append(dict(logs))


@pytest.mark.parametrize("disable_tqdm", [True, False])
def test_people_see_a_short_line_and_trackers_all_numbers(galrec, capfd, caplog, disable_tqdm):
    tracker = Tracker()
    trainer = galrec(callbacks=[tracker], max_steps=2, eval_strategy="steps", eval_steps=2, disable_tqdm=disable_tqdm)
    with caplog.at_level("INFO", logger="hf_llmrec"):
        trainer.train()
    steps = [log for log in tracker.logs if "loss" in log]
    assert len(steps) == 2 and all(len(log) > 20 and "item_0_queue_age" in log for log in steps)
    assert [log for log in trainer.state.log_history if "item_0_queue_age" in log]
    out, err = capfd.readouterr()
    seen = [*out.splitlines(), *err.replace("\r", "\n").splitlines(), *caplog.text.splitlines()]
    assert not [line for line in seen if "queue_age" in line]
    if disable_tqdm:
        assert any("step 2 of 2 (100 %), loss" in line for line in seen)
        assert any("step 2: validation loss" in line and "NDCG@10" in line for line in seen)
    else:
        assert any(line.startswith("loss ") and "learning rate" in line for line in seen)
        assert any(line.startswith("validation loss ") and "NDCG@10" in line for line in seen)


def test_a_log_without_what_people_watch_has_no_line():
    assert short_line({"train_runtime": 3.0}) == ""
    logs = {"item_0_queue_age": 2.0, "epoch": 1.5, "loss": 2.12345, "tokens_per_second": 1234.5, "learning_rate": 1e-3}
    assert short_line(logs) == "loss 2.123, learning rate 0.001, 1,234 tokens/s, epoch 1.5"
