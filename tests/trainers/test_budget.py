"""Options that nobody chose follow from the model and the data; options that somebody chose stay."""

import numpy as np
import pytest

from hf_llmrec.trainers.budget import fill_budget
from hf_llmrec.trainers.lcrec_config import LCRecTrainingConfig

SMALL, LARGE = 2_000_000, 600_000_000


def filled(tmp_path, rows, parameters, adapters=False, **given):
    args = LCRecTrainingConfig(output_dir=str(tmp_path), use_cpu=True, report_to="none", **given)
    fill_budget(args, np.full(rows, 30), parameters, adapters, target_per_item=args.seq_form == "packed")
    return args


def test_small_models_learn_from_nothing(tmp_path):
    args = filled(tmp_path, 20_000, SMALL)
    assert args.learning_rate == 2e-3 and args.tokens_per_batch == 5000 and args.num_train_epochs == 30
    # Few rows: as many epochs as 1,500 steps need, within reason.
    few = filled(tmp_path, 60, SMALL)
    assert few.tokens_per_batch == 512 and few.num_train_epochs == 400
    assert 1500 <= 120 * filled(tmp_path, 3000, SMALL).num_train_epochs


@pytest.mark.parametrize("adapters, rate", [(False, 5e-5), (True, 2e-4)])
def test_pretrained_models_are_tuned_as_in_the_paper(tmp_path, adapters, rate):
    args = filled(tmp_path, 20_000, LARGE, adapters, seq_form="prefix")
    assert args.learning_rate == rate and args.num_train_epochs == 4 and args.tokens_per_batch is None


def test_rows_with_a_target_per_item_come_in_batches_of_as_many_tokens(tmp_path):
    args = filled(tmp_path, 20_000, LARGE, seq_form="packed")
    assert args.tokens_per_batch == 8 * 30 and args.num_train_epochs == 4
    assert filled(tmp_path, 20_000, LARGE, per_device_train_batch_size=16).tokens_per_batch is None


def test_what_was_given_stays(tmp_path):
    args = filled(tmp_path, 20_000, SMALL, learning_rate=2e-5, num_train_epochs=3, per_device_train_batch_size=16)
    assert (args.learning_rate, args.num_train_epochs, args.tokens_per_batch) == (2e-5, 3, None)
