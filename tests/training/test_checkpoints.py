"""A run that was killed while it saved goes on from the checkpoint before."""

import json
import logging

import pytest
import torch

from hf_llmrec.training.checkpoints import last_complete_checkpoint


def save(folder, step, processes=1, state='{"global_step": 1}'):
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    names = ["rng_state.pth"] if processes == 1 else [f"rng_state_{rank}.pth" for rank in range(processes)]
    for name in names:
        torch.save({"cpu": torch.get_rng_state()}, path / name)
    if state is not None:
        (path / "trainer_state.json").write_text(state)
    return path


def test_the_latest_by_number(tmp_path):
    assert last_complete_checkpoint(tmp_path / "nothing") is None and last_complete_checkpoint(tmp_path) is None
    for step in (5, 10, 9):
        save(tmp_path, step)
    (tmp_path / "checkpoint-best").mkdir()
    assert last_complete_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")


@pytest.mark.parametrize("damage", ["no state", "half a state", "half a random state", "no random state of rank 1"])
def test_what_a_kill_can_leave_is_passed_over_with_a_notice(tmp_path, caplog, damage):
    save(tmp_path, 5, processes=2)
    path = save(tmp_path, 10, processes=2, state=None if damage == "no state" else json.dumps({"log": [1, 2]}))
    if damage == "half a state":
        (path / "trainer_state.json").write_text('{"log": [1')
    elif damage == "half a random state":
        whole = (path / "rng_state_0.pth").read_bytes()
        (path / "rng_state_0.pth").write_bytes(whole[: len(whole) // 2])
    elif damage == "no random state of rank 1":
        (path / "rng_state_1.pth").unlink()
    with caplog.at_level(logging.WARNING):
        assert last_complete_checkpoint(tmp_path, num_processes=2) == str(tmp_path / "checkpoint-5")
    assert "checkpoint-10 is not complete" in caplog.text


@pytest.mark.parametrize("written, resumed", [(1, 2), (2, 1), (3, 2), (2, 3)])
def test_another_number_of_processes_is_refused_not_taken_for_a_kill(tmp_path, written, resumed):
    save(tmp_path, 5, processes=written)
    words = "1 process" if written == 1 else f"{written} processes"
    with pytest.raises(ValueError, match=f"written by {words}, this run has {resumed}"):
        last_complete_checkpoint(tmp_path, num_processes=resumed)
