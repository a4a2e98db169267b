"""Options that nobody chose follow from the model and the data; options that somebody chose stay."""

import numpy as np
import pytest

from hf_llmrec.cli.galrec_options import GALRecArguments
from hf_llmrec.methods.galrec.building import start_prompt
from hf_llmrec.methods.galrec.losses import ALIGNMENTS
from hf_llmrec.methods.galrec.trainer_config import GALRecTrainingConfig
from hf_llmrec.methods.lcrec.trainer_config import LCRecTrainingConfig
from hf_llmrec.training.budget import fill_budget, learning_rate

SMALL, LARGE = 2_000_000, 600_000_000


def filled(tmp_path, rows, parameters, adapters=False, target_per_item=True, **given):
    args = LCRecTrainingConfig(output_dir=str(tmp_path), use_cpu=True, report_to="none", **given)
    fill_budget(args, np.full(rows, 30), parameters, adapters, target_per_item=target_per_item)
    return args


def test_small_models_learn_from_nothing(tmp_path):
    args = filled(tmp_path, 20_000, SMALL, pretrained=False)
    assert args.learning_rate == 2e-3 and args.tokens_per_batch == 5000 and args.num_train_epochs == 30
    # Few rows: as many epochs as 1,500 steps need, within reason.
    few = filled(tmp_path, 60, SMALL, pretrained=False)
    assert few.tokens_per_batch == 512 and few.num_train_epochs == 400
    assert 1500 <= 120 * filled(tmp_path, 3000, SMALL, pretrained=False).num_train_epochs


@pytest.mark.parametrize("parameters", [SMALL, LARGE, 8_000_000_000])
def test_what_is_tuned_is_what_has_weights_whatever_its_size(tmp_path, parameters):
    tuned, new = (filled(tmp_path, 20_000, parameters, pretrained=value) for value in (True, False))
    assert tuned.num_train_epochs == 5 and new.num_train_epochs == 30
    assert tuned.tokens_per_batch == 8 * 30 and new.tokens_per_batch == 5000


@pytest.mark.parametrize(
    "parameters, tuned, adapters, from_scratch",
    [
        (2e6, 3e-4, 3e-4, 2e-3),
        (1.35e8, 3e-4, 3e-4, 5.8e-4),
        (6e8, 3e-4, 3e-4, 2.9e-4),
        (1.01e9, 7.8e-5, 2e-4, 2.3e-4),  # the middle between 0.6 and 1.7 billion, in logarithms
        (1.7e9, 2e-5, 2e-4, 2e-4),
        (8e9, 2e-5, 2e-4, 2e-4),
    ],
)
def test_the_learning_rate_falls_with_size(tmp_path, parameters, tuned, adapters, from_scratch):
    assert learning_rate(int(parameters), pretrained=True) == pytest.approx(tuned, rel=0.02)
    assert learning_rate(int(parameters), pretrained=True, adapters=True) == pytest.approx(adapters, rel=0.02)
    assert learning_rate(int(parameters), pretrained=False) == pytest.approx(from_scratch, rel=0.02)
    assert filled(tmp_path, 20_000, int(parameters)).learning_rate == pytest.approx(tuned, rel=0.02)


def test_rows_with_a_target_per_item_come_in_batches_of_as_many_tokens(tmp_path):
    args = filled(tmp_path, 20_000, LARGE, target_per_item=True)
    assert args.tokens_per_batch == 8 * 30 and args.num_train_epochs == 5
    assert filled(tmp_path, 20_000, LARGE, target_per_item=False).tokens_per_batch is None


@pytest.mark.parametrize("pretrained", [True, False])
@pytest.mark.parametrize("rows", [8, 16])  # 8 is also what there is without a choice
def test_a_number_of_rows_that_was_given_stays(tmp_path, rows, pretrained):
    args = filled(tmp_path, 20_000, LARGE, per_device_train_batch_size=rows, pretrained=pretrained)
    assert (args.per_device_train_batch_size, args.tokens_per_batch) == (rows, None)


def test_what_was_given_stays(tmp_path):
    args = filled(tmp_path, 20_000, SMALL, learning_rate=2e-5, num_train_epochs=3, per_device_train_batch_size=16)
    assert (args.learning_rate, args.num_train_epochs, args.tokens_per_batch) == (2e-5, 3, None)


SCRATCH = {"latest_share": 0.8, "loss_weights": dict.fromkeys(ALIGNMENTS, 0.02)}
TUNED = {"latest_share": 0.5, "loss_weights": dict.fromkeys(ALIGNMENTS, 0.1)}


def galrec(tmp_path, **given):
    return GALRecTrainingConfig(output_dir=str(tmp_path), use_cpu=True, report_to="none", **given)


def test_defaults_of_galrec_depend_on_where_it_starts(tmp_path):
    args = galrec(tmp_path)
    for pretrained, expected in ((False, SCRATCH), (True, TUNED), (False, SCRATCH)):
        args.start_from(pretrained=pretrained)
        assert args.pretrained == pretrained and {name: getattr(args, name) for name in expected} == expected
        assert args.filled.keys() == args.start_defaults.keys()
    scratch, tuned = start_prompt(False, None), start_prompt(True, {"hops": 3})
    assert (scratch.template, scratch.title_hops, scratch.hops) == ("bare", (), 2)
    assert (tuned.template, tuned.title_hops, tuned.hops) == ("words", (0,), 3)


def test_an_explicit_option_wins_over_both_defaults(tmp_path):
    # Two of them are the defaults of the other start.
    given = {"latest_share": 0.5, "momentum": 0.9, "loss_weights": {"user_to_user": 0.3}}
    args = galrec(tmp_path, **given)
    args.start_from(pretrained=False)
    assert {name: getattr(args, name) for name in given} == given
    assert args.item_dropout == 0.1 and set(given).isdisjoint(args.filled)
    assert start_prompt(False, {"template": "words"}).template == "words"
    # So does saying whether weights are pretrained: a checkpoint may hold random ones.
    args = galrec(tmp_path, pretrained=False)
    args.start_from(pretrained=True)
    assert not args.pretrained and args.latest_share == 0.8


def test_the_vocabulary_loss_brings_its_titles(tmp_path):
    args = galrec(tmp_path, lm_loss_weight=0.1)
    assert start_prompt(False, GALRecArguments(dataset="d").prompt(args)).title_hops == (0,)
    assert start_prompt(True, GALRecArguments(dataset="d", title_hops=[]).prompt(args)).title_hops == ()
