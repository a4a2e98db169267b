"""Tokens per second and memory, as they are logged."""

import pytest
import torch


def test_tokens_per_second_are_those_of_the_steps_since_the_last_log(galrec):
    trainer = galrec(logging_steps=2, gradient_accumulation_steps=2)
    trainer._clock.lap = lambda: 4.0
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    counted = [entry["num_tokens"] for entry in logs]
    between = [after - before for before, after in zip([0, *counted], counted, strict=False)]
    assert len(logs) == 4 and [entry["tokens_per_second"] * 4 for entry in logs] == pytest.approx(between)
    assert all(count > 0 for count in between)


def test_all_processes_count_and_the_fullest_gpu_is_told(galrec, monkeypatch):
    trainer = galrec()
    trainer._clock.lap, trainer._tokens = lambda: 2.0, 300
    other = torch.tensor([[500.0, 7.0]])
    monkeypatch.setattr(trainer.accelerator, "gather", lambda own: torch.cat([own, other]))
    assert trainer._speed() == {"tokens_per_second": 400.0} and trainer._tokens == 0


def test_an_evaluation_has_no_speed_of_its_own(galrec):
    trainer = galrec(eval_strategy="steps", eval_steps=4)
    trainer.train()
    evaluated = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    assert len(evaluated) == 2 and not any("tokens_per_second" in entry for entry in evaluated)
