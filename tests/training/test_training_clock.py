"""Time left and speed, by a clock that the test moves."""

import logging
from types import SimpleNamespace

import pytest
from transformers import TrainerControl, TrainerState

from hf_llmrec.training.training_clock import TrainingClock, spoken


class Run:
    """The events of a trainer: steps of 2 s, evaluations of 60 s and saves of 30 s, unless said otherwise."""

    def __init__(self, *, start=0, steps=100, evaluate_every=10, save_every=20, strategy="steps"):
        self.now, self.lines = 0.0, []
        self.clock = TrainingClock(lambda: self.now)
        self.args = SimpleNamespace(disable_tqdm=True, eval_strategy=strategy, save_strategy=strategy)
        self.state = TrainerState(global_step=start, max_steps=steps, num_train_epochs=5, epoch=start / 20)
        self.state.eval_steps, self.state.save_steps = evaluate_every, save_every
        self.send("on_train_begin")

    def send(self, event, **what):
        getattr(self.clock, event)(self.args, self.state, TrainerControl(), **what)

    def go(self, until, *, step=2.0, evaluation=60.0, save=30.0):
        while self.state.global_step < until:
            self.now += step
            self.state.global_step += 1
            self.send("on_step_end")
            at = self.state.global_step
            self.send("on_log", logs={"loss": 3.2141, "tokens_per_second": 12399.6})
            if at % self.state.eval_steps == 0:
                self.now += evaluation
                self.send("on_log", logs={"eval_loss": 1.0})
                self.send("on_evaluate")
            if at % self.state.save_steps == 0:
                self.now += save
                self.send("on_save")

    def left(self):
        return self.clock.left(self.args, self.state)


def test_evaluations_and_saves_take_their_own_time():
    run = Run()
    assert run.left() is None
    run.go(5)
    assert run.left() == 95 * 2  # of evaluations nothing is known yet
    run.go(10)
    assert run.left() == 90 * 2 + 9 * 60, "an evaluation is no slow step"
    run.go(20)
    assert run.left() == 80 * 2 + 8 * 60 + 4 * 30
    run.go(100)
    assert run.left() == 0 and run.now == 100 * 2 + 10 * 60 + 5 * 30


def test_a_resumed_run_counts_from_its_own_start():
    run = Run(start=60)
    run.now += 6  # batches that were seen are passed over
    assert run.left() is None
    run.go(70, step=3)
    assert run.left() == pytest.approx(30 * 3.6 + 3 * 60)


def test_evaluations_of_epochs_are_foreseen():
    run = Run(strategy="epoch", evaluate_every=20)
    run.go(20)
    assert run.left() == 80 * 2 + 4 * 60 + 4 * 30


def test_a_lap_leaves_out_what_is_no_step():
    run = Run()
    run.go(9)
    assert run.clock.lap() == 18
    run.go(15)
    assert run.clock.lap() == 12 and run.clock.lap() == 0


def test_one_line_per_log(caplog):
    run = Run(steps=1200, evaluate_every=1300, save_every=1300)
    with caplog.at_level(logging.INFO, logger="hf_llmrec"):
        run.go(350, step=1.0)
    assert len(caplog.messages) == 350, "a line for every log of steps"
    assert caplog.messages[-1] == "step 350 of 1200 (29 %), loss 3.214, 12,400 tokens/s, 6 min, 14 min left"
    caplog.clear()
    measured = {"eval_loss": 1.0, "eval_ndcg@5": 0.1, "eval_ndcg@10": 0.2, "eval_hit_rate@10": 0.34567}
    with caplog.at_level(logging.INFO, logger="hf_llmrec"):
        run.send("on_log", logs={**measured, **{f"eval_{number}": 1.0 for number in range(40)}})
        run.send("on_log", logs={"train_loss": 1.0})
        run.state.is_world_process_zero = False
        run.send("on_log", logs={"loss": 1.0, "tokens_per_second": 1.0})
    assert caplog.messages == ["step 350: validation loss 1, NDCG@10 0.2000, HR@10 0.3457"]


def test_a_run_that_rarely_logs_still_says_how_far_it_is(caplog):
    run = Run(steps=1000, evaluate_every=2000, save_every=2000)
    with caplog.at_level(logging.INFO, logger="hf_llmrec"):
        for step in range(1, 101):
            run.now, run.state.global_step = run.now + 1.0, step
            run.send("on_step_end")
    assert caplog.messages[0] == "step 30 of 1000 (3 %), 30 s, 16 min left" and len(caplog.messages) == 3


@pytest.mark.parametrize("disabled, terminal, lines", [(False, True, 0), (False, False, 1), (True, True, 1)])
def test_a_terminal_has_its_progress_bar(monkeypatch, caplog, disabled, terminal, lines):
    monkeypatch.setattr("sys.stderr", SimpleNamespace(isatty=lambda: terminal, write=lambda text: None))
    run = Run()
    run.args.disable_tqdm = disabled
    with caplog.at_level(logging.INFO, logger="hf_llmrec"):
        run.go(1)
    assert len(caplog.messages) == lines


def test_evaluating_without_training_is_no_break():
    run = Run()
    run.send("on_train_end")
    run.send("on_evaluate")


def test_times_as_one_says_them():
    found = [spoken(seconds) for seconds in (0, 59.4, 59.6, 840, 3570, 7500)]
    assert found == ["0 s", "59 s", "1 min", "14 min", "1 h 0 min", "2 h 5 min"]
