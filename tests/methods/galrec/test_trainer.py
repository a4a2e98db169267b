"""One-process training of GAL-Rec: what is trained, what is logged, what is frozen, and what survives a resume."""

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file
from transformers import TrainerCallback

from hf_llmrec.methods.galrec.collator import GALRecCollator
from hf_llmrec.methods.galrec.losses import ALIGNMENTS, PairBatch
from hf_llmrec.methods.galrec.trainer import MOMENTUM_FILE, QUEUE_FILE
from hf_llmrec.methods.galrec.trainer_config import GALRecTrainingConfig

NO_GRAPH = dict.fromkeys(ALIGNMENTS, 0.0)
LORA = {"r": 4, "target_modules": r".*language_model.*\.(q_proj|v_proj)", "lora_dropout": 0.0}
OWN = ["item_mapping", "user_mapping", "item_residual", "special_embeddings", "entity_scale"]
OWN += ["rec_gate", "item_scorer"]


def logged(trainer, name="loss") -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def test_every_parameter_changes_and_the_losses_fall(galrec):
    trainer = galrec(max_steps=40, lm_loss_weight=0.1, contrastive_temperature=0.2)
    before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    trainer.train()
    unchanged = [name for name, value in trainer.model.named_parameters() if torch.equal(value, before[name])]
    assert not unchanged
    for name in ("rec_loss", "history_loss", "text_loss"):
        assert logged(trainer, name)[-1] < 0.8 * logged(trainer, name)[0], name
    for name in ALIGNMENTS:
        losses = logged(trainer, f"{name}_loss")
        assert losses[0] == 0, "the first step has no negatives"
    assert logged(trainer, "history_to_item_positive")[-1] > logged(trainer, "history_to_item_negative")[-1]


def test_everything_is_logged(galrec):
    trainer = galrec()
    trainer.train()
    found = set().union(*trainer.state.log_history)
    expected = {f"{name}_{part}" for name in ALIGNMENTS for part in ("loss", "positive", "negative", "alignment")}
    kinds = ("user_0", "user_1", "user_2", "item_0", "item_1")
    expected |= {f"{kind}_{part}" for kind in kinds for part in ("queue_fill", "queue_age")}
    expected |= {f"{kind}_uniformity" for kind in kinds if kind != "item_1"}
    assert expected | {"rec_loss", "history_loss", "num_tokens"} <= found
    assert logged(trainer, "item_0_queue_fill")[-1] == 1.0


@pytest.mark.parametrize("name", list(ALIGNMENTS))
def test_each_loss_alone(galrec, name):
    trainer = galrec(loss_weights={name: 1.0}, max_steps=3)
    trainer.train()
    assert set(trainer.alignment.weights) == {name}
    assert set(trainer.alignment.queues) == ({"item_1"} if name == "neighborhood" else set(ALIGNMENTS[name]))
    total, rec, history, graph = (logged(trainer, n) for n in ("loss", "rec_loss", "history_loss", f"{name}_loss"))
    steps = zip(total, rec, history, graph, strict=True)
    # L = L_rec + weight * L_graph, where L_rec is the mean over all targets.
    assert all(min(r, h) - 1e-3 <= t - g <= max(r, h) + 1e-3 for t, r, h, g in steps)


@pytest.mark.parametrize("template", ["bare", "words"])
@pytest.mark.parametrize("accumulated", [1, 3])
def test_a_step_s_loss_is_l_rec_per_target_plus_the_mean_of_the_others_per_batch(galrec, template, accumulated):
    """A bare sequence begins with an item, whose position has a target: all of them are counted, in every batch."""
    weights = {name: 0.5 for name in ALIGNMENTS}
    trainer = galrec(
        template=template,
        loss_weights=weights,
        queue_length=0,
        gradient_accumulation_steps=accumulated,
        max_steps=2,
        learning_rate=0.0,
    )
    losses, steps, compute = [], [], trainer.model.forward

    def forward(**inputs):
        outputs = compute(**inputs)
        if inputs.get("labels") is not None:
            assert len(outputs.rec_losses) == int((inputs["labels"] != -100).sum())
            losses.append(outputs.rec_losses.detach())
            if len(losses) == accumulated:
                steps.append(torch.cat(losses).mean().item())
                losses.clear()
        return outputs

    trainer.model.forward = forward
    trainer.train()
    graph = 0.5 * torch.tensor([logged(trainer, f"{name}_loss") for name in weights]).sum(0)
    expected = [rec + other for rec, other in zip(steps, graph.tolist(), strict=True)]
    assert logged(trainer) == pytest.approx(expected, rel=1e-4)


def test_without_graph_losses_nothing_of_them_is_there(galrec):
    trainer = galrec(loss_weights=NO_GRAPH, hops=1)
    trainer.train()
    assert trainer.alignment is None and trainer._momentum_encoder is None
    assert not any(parameter.requires_grad for parameter in trainer.model.projection.parameters())
    assert not any(name.startswith("user_") for name in set().union(*trainer.state.log_history))
    assert trainer.train_dataset.build(0, 0).keys() == {"input_ids", "labels", "user_items"}


def test_an_unused_head_is_frozen_a_used_or_tied_one_is_not(galrec):
    def is_trained(**options):
        return galrec(**options).model.lm_head.weight.requires_grad

    assert not is_trained(tied=False)
    assert is_trained(tied=False, lm_loss_weight=0.1)
    assert is_trained(tied=True), "its weights are the text tokens' input embeddings"


def test_the_momentum_moves_once_per_optimizer_step(galrec):
    class Count(TrainerCallback):
        steps = substeps = 0

        def on_optimizer_step(self, *args, **kwargs):
            self.steps += 1

        def on_substep_end(self, *args, **kwargs):
            self.substeps += 1

    count, moves = Count(), []
    trainer = galrec(gradient_accumulation_steps=3, max_steps=2, callbacks=[count])
    update = trainer.momentum_encoder.update
    trainer.momentum_encoder.update = lambda: (moves.append(1), update())
    trainer.train()
    assert len(moves) == count.steps == 2 and count.substeps == 4
    assert int(next(iter(trainer.alignment.queues.values())).calls) == 6, "every batch brings keys"


def test_the_queue_is_ahead_of_nothing(galrec):
    """Keys of a step are not in the queue that the step's queries meet."""
    trainer = galrec(max_steps=1, learning_rate=0.0)
    trainer.train()
    assert logged(trainer, "history_to_item_loss") == [0.0]


def test_in_batch_negatives_without_a_queue(galrec):
    trainer = galrec(queue_length=0, max_steps=2)
    trainer.train()
    assert not len(trainer.alignment.queues) and logged(trainer, "history_to_item_loss")[0] > 0


def test_earlier_pairs_train_user_to_item_alone(galrec):
    """Every pair's read-outs are those of its own segments, in the order of the pairs."""
    trainer = galrec(edges_per_user=4, title_hops=[0], lm_loss_weight=0.1, max_steps=3, queue_length=1000)
    rows = [trainer.train_dataset.build(slot, 0) for slot in range(8)]
    batch, model = GALRecCollator()(rows), trainer.model.eval()
    pairs, segments = PairBatch(**batch["pairs"]), batch["segments"]
    kinds = trainer.alignment.query_kinds
    queries, text_loss = trainer._read_segments(model, segments, kinds)
    expected, items, users = [], [], []
    for row in rows:
        for pair in (*row["earlier_pairs"], row):
            items.append(pair["item"])
            users.append(row["user"])
            for name, ids, owners in (
                ("USER_0", row["own_ids"], pair["user_items"]),
                ("ITEM_0", pair["item_ids"], [-1]),
            ):
                inputs = {"input_ids": torch.tensor(ids)[None], "user_items": torch.tensor(owners)[None]}
                hidden = model.model(**inputs).last_hidden_state
                expected.append(model.projection(model.model.readout_states(inputs["input_ids"], hidden, name)))
    assert len(items) > 2 * len(rows) and len(segments["item_ids"]) < len(items), "no item occurs twice"
    assert pairs.items.tolist() == items and pairs.users.tolist() == users
    assert pairs.of_examples().items.tolist() == [row["item"] for row in rows]
    torch.testing.assert_close(queries["user_0"], torch.cat(expected[::2]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(queries["item_0"], torch.cat(expected[1::2]), rtol=1e-4, atol=1e-5)
    # The vocabulary loss reads the targets' titles, whatever other items are there.
    alone = GALRecCollator()([{**row, "earlier_pairs": []} for row in rows])["segments"]
    torch.testing.assert_close(text_loss, trainer._read_segments(model, alone, kinds)[1])
    trainer.train()
    fill = {kind: logged(trainer, f"{kind}_queue_fill")[0] for kind in ("user_0", "item_0", "user_1", "user_2")}
    assert fill["user_1"] == fill["user_2"] == pytest.approx(10 / 1000)
    assert fill["user_0"] == fill["item_0"] > 20 / 1000


def test_default_queue_length(galrec, dataset):
    queues = galrec(queue_length=None).alignment.queues
    assert queues["item_0"].length == dataset.num_items // 2 and queues["user_2"].length == dataset.num_users // 2


@pytest.mark.parametrize("neighbor_order", ["uniform", "most_shared"])
def test_three_hops(galrec, neighbor_order):
    trainer = galrec(hops=3, neighbor_order=neighbor_order, max_steps=3)
    trainer.train()
    assert len(logged(trainer)) == 3


@pytest.mark.parametrize("mode", ["full", "lora"])
def test_stopped_and_resumed_gives_the_same_losses(galrec, mode, tmp_path):
    def make(name, **options):
        lora = LoraConfig(**LORA, modules_to_save=[*OWN, "projection"]) if mode == "lora" else None
        folder = {"output_dir": str(tmp_path / name), "save_strategy": "steps", "save_steps": 3}
        return galrec(peft_config=lora, max_steps=8, item_dropout=0.2, **folder, **options)

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 5:
                raise KeyboardInterrupt

    whole = make("whole")
    whole.train()
    stopped = make("stopped", callbacks=[Stop()])
    with pytest.raises(KeyboardInterrupt):
        stopped.train()
    resumed = make("stopped")
    resumed.train(resume_from_checkpoint=str(tmp_path / "stopped/checkpoint-3"))
    assert logged(resumed)[-5:] == pytest.approx(logged(whole)[-5:], rel=1e-5)
    for name in ("history_to_item_loss", "item_0_queue_age"):
        assert logged(resumed, name)[-5:] == pytest.approx(logged(whole, name)[-5:], rel=1e-4)
    for name, value in whole.momentum_encoder.averages.items():
        torch.testing.assert_close(resumed.momentum_encoder.averages[name], value)
    queue = load_file(tmp_path / "whole/checkpoint-3" / QUEUE_FILE)
    assert {"queues.item_0.keys", "queues.user_2.pointer"} <= set(queue)
    momentum = load_file(tmp_path / "whole/checkpoint-3" / MOMENTUM_FILE.format(0))
    assert set(momentum) == {name for name, p in whole.model.named_parameters() if p.requires_grad}


def test_resuming_without_the_queue_goes_elsewhere(galrec, tmp_path):
    """The test above can fail: with the queue emptied, losses differ."""
    folder = {"output_dir": str(tmp_path / "a"), "save_strategy": "steps", "save_steps": 3}
    whole = galrec(**folder)
    whole.train()
    resumed = galrec(**folder)
    resumed.alignment.load_state_dict = lambda state: None
    resumed.train(resume_from_checkpoint=str(tmp_path / "a/checkpoint-3"))
    assert logged(resumed)[-5:] != pytest.approx(logged(whole)[-5:], rel=1e-5)


def test_a_saved_lora_model_is_whole(galrec, tmp_path):
    from hf_llmrec.methods.galrec.modeling_galrec import GALRecForCausalLM

    trainer = galrec(peft_config=LoraConfig(**LORA, modules_to_save=[*OWN, "projection"]), max_steps=4)
    trainer.train()
    metrics = trainer.rank()
    special = trainer.model.config.special_token_ids
    ids, own = torch.tensor([[special["USER"], special["USER_0"]]]), torch.tensor([[0]])
    trainer.model.eval()
    before = trainer.model(input_ids=ids, user_items=own, output_representations=True).representations
    trainer.save_whole_model(str(tmp_path / "saved"))
    loaded = GALRecForCausalLM.from_pretrained(tmp_path / "saved")
    after = loaded(input_ids=ids, user_items=own, output_representations=True).representations
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-4)
    assert metrics["num_users"] == 20
    names = {name for name in load_file(tmp_path / "saved/model.safetensors")}
    assert not any(word in name for name in names for word in ("queue", "lora", "momentum", "user_external"))


def test_evaluation_ranks_and_uses_no_graph_losses(galrec):
    trainer = galrec(max_steps=2, eval_strategy="steps", eval_steps=1)
    trainer.train()
    evaluated = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    assert len(evaluated) == 2 and "eval_ndcg@10" in evaluated[0] and "eval_rec_loss" in evaluated[0]
    assert not any("history_to_item" in name for entry in evaluated for name in entry)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"loss_weights": {"other": 1.0}}, "loss_weights"),
        ({"loss_weights": {"user_to_user": -1}}, "loss_weights"),
        ({"momentum": 1.0}, "momentum"),
        ({"contrastive_temperature": 0.0}, "contrastive_temperature"),
        ({"queue_length": -1}, "queue_length"),
        ({"lm_loss_weight": -0.1}, "lm_loss_weight"),
        ({"packing": True}, "packing"),
        ({"max_length": 0}, "max_length"),
    ],
)
def test_bad_options(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        GALRecTrainingConfig(output_dir=str(tmp_path), use_cpu=True, **options)


def test_losses_of_what_the_prompt_leaves_out_are_refused(galrec):
    with pytest.raises(ValueError, match="no E_u\\^2"):
        galrec(hops=1)
    with pytest.raises(ValueError, match="lm_loss_weight.*title_hops"):
        galrec(lm_loss_weight=0.1, title_hops=[1])
