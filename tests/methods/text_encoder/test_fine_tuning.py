"""Fine-tuning a sentence-transformers model, and its folder in a recommender's. A small random BERT stands for one."""

import numpy as np
import pytest
import torch

from hf_llmrec.indexing.text_embeddings import embed_items, item_texts
from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.methods.text_encoder.configuration_text_encoder import TextEncoderConfig
from hf_llmrec.methods.text_encoder.fine_tuning import FineTunedNetwork
from hf_llmrec.methods.text_encoder.queries import query_texts
from hf_llmrec.methods.text_encoder.recommender import TextEncoderRecommender
from hf_llmrec.methods.text_encoder.rows import TitleQueryCollator, TitleQueryDataset, TitleQueryEvalDataset
from hf_llmrec.methods.text_encoder.trainer import TextEncoderTrainer
from hf_llmrec.methods.text_encoder.trainer_config import TextEncoderTrainingConfig

pytestmark = pytest.mark.slow  # needs the extra `text`

SHORT = {"max_steps": 100, "eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}
SHORT |= {"use_cpu": True, "disable_tqdm": True, "learning_rate": 1e-2, "warmup_steps": 5}


def tuned(kinds, folder, output, finetune, split=None, **options):
    torch.manual_seed(0)
    fields = {"history_encoder": "text", "query_titles": 1}  # the kind of the last item is all that there is to know
    recommender = TextEncoderRecommender.from_dataset(kinds, text_encoder=folder, **fields)
    args = TextEncoderTrainingConfig(output_dir=str(output), finetune=finetune, **{**SHORT, **options})
    return TextEncoderTrainer(recommender, args, split=split or kinds.split())


def stock_vectors(folder, kinds):
    """What anybody gets who loads the folder with sentence-transformers alone."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder / "text_encoder")).encode(item_texts(kinds))


@pytest.mark.parametrize("finetune", ["lora", "full"])
def test_it_learns_and_is_saved_as_a_stock_model(kinds, sentence_folder, tmp_path, finetune):
    split = kinds.split()
    trainer = tuned(kinds, sentence_folder, tmp_path / "run", finetune)
    before = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    untrained = trainer.rank()["ndcg@10"]
    trainer.train()
    changed = {name for name, value in trainer.model.named_parameters() if not torch.equal(value, before[name])}
    read = {name for name in before if "pooler" not in name}  # mean pooling does not read BERT's own
    assert changed == {name for name in read if finetune == "full" or "lora_" in name}
    learned = trainer.recommender.evaluate(split.validation)
    assert learned["hit_rate@10"] > 0.95 and learned["ndcg@10"] > 3 * untrained  # the 8 items of the next kind
    trainer.save_recommender(tmp_path / "saved")
    assert not list((tmp_path / "saved").rglob("adapter*"))
    ours = trainer.recommender.item_vectors()
    np.testing.assert_allclose(stock_vectors(tmp_path / "saved", kinds), ours, atol=1e-5)
    assert np.abs(ours - embed_items(kinds, sentence_folder)).max() > 1e-2
    loaded = AutoRecommender.from_pretrained(tmp_path / "saved")
    histories, rows = split.test.histories, [np.arange(kinds.num_items)] * len(split.test)
    found, expected = loaded.score(histories, rows), trainer.recommender.score(histories, rows)
    np.testing.assert_allclose(np.stack(found), np.stack(expected), atol=1e-3)


def test_the_loss_against_a_loop_with_false_negatives_left_out(kinds, sentence_folder):
    split = kinds.split()
    recommender = TextEncoderRecommender.from_dataset(kinds, text_encoder=sentence_folder, history_encoder="text")
    texts, titles, rows = item_texts(kinds), kinds.titles, TitleQueryDataset(split, max_history=3)
    network = FineTunedNetwork(recommender.encoder, recommender.model.config, texts, titles, split).eval()
    # Two targets of one user, and two rows with the same target.
    same = int(np.flatnonzero([rows[slot]["target"] == rows[0]["target"] for slot in range(1, len(rows))])[0]) + 1
    chosen = [rows[slot] for slot in (0, 1, same, 40, 70)]
    batch = TitleQueryCollator(recommender.encoder, titles, texts, recommender.model.config)(chosen)
    assert len(batch["documents"]["input_ids"]) == len({int(row["target"]) for row in chosen}) < len(chosen)
    encode = lambda words: torch.nn.functional.normalize(  # noqa: E731
        torch.from_numpy(recommender.encoder.encode(words)), dim=-1
    )
    documents = sorted({int(row["target"]) for row in chosen})
    losses = []
    for row in chosen:
        query = encode(["next after: " + "; ".join(titles[item] for item in row["history"])])[0]
        own = int(row["target"])
        negatives = [item for item in documents if item != own and item not in row["chosen"]]
        cosines = encode([texts[item] for item in [own, *negatives]]) @ query
        losses.append(-(cosines / recommender.model.config.score_temperature).log_softmax(0)[0])
    assert any(item in row["chosen"] and item != row["target"] for row in chosen for item in documents)
    batch = {name: value for name, value in batch.items()}
    torch.testing.assert_close(network(**batch)["loss"], torch.stack(losses).mean(), rtol=1e-4, atol=1e-5)


def test_rows_are_every_interaction_but_the_first(kinds):
    split = kinds.split()
    rows = TitleQueryDataset(split, max_history=2)
    assert len(rows) == sum(len(split.train_sequence(user)) - 1 for user in range(kinds.num_users))
    sequence = split.train_sequence(0)
    for slot in range(len(sequence) - 1):
        row = rows[slot]
        assert row["target"] == sequence[slot + 1] and row["chosen"].tolist() == sequence.tolist()
        assert row["history"].tolist() == sequence[max(slot - 1, 0) : slot + 1].tolist()
    cases = TitleQueryEvalDataset(split.validation, max_history=2)
    assert cases[3]["target"] == split.validation.targets[3]
    assert cases[3]["history"].tolist() == split.validation.histories[3][-2:].tolist()


def test_queries_keep_the_latest_titles_that_the_encoder_reads(kinds, sentence_folder):
    from sentence_transformers import SentenceTransformer

    titles = ["apple", "", "bread aa", "candle " * 40]
    histories = [np.array([0, 1, 2, 0]), np.array([], dtype=int), np.array([0, 3]), np.array([3, 2, 0])]
    config = TextEncoderConfig(query_titles=2, query_prefix="> ")
    assert query_texts(histories, titles, config) == [
        "> bread aa; apple",
        "> ",
        f"> apple; {titles[3]}",
        "> bread aa; apple",
    ]
    encoder = SentenceTransformer(sentence_folder)
    encoder.max_seq_length = 16
    config = TextEncoderConfig(query_titles=3, query_prefix="")
    cut = query_texts(histories, titles, config, encoder)
    assert cut == ["apple; bread aa; apple", "", titles[3], "bread aa; apple"]


def test_frozen_vectors_and_the_adaptor_are_a_stock_model(kinds, sentence_folder, tmp_path):
    torch.manual_seed(0)
    recommender = TextEncoderRecommender.from_dataset(kinds, text_encoder=sentence_folder, hidden_size=16)
    args = TextEncoderTrainingConfig(output_dir=str(tmp_path / "run"), **{**SHORT, "tokens_per_batch": 100})
    trainer = TextEncoderTrainer(recommender, args, split=kinds.split())
    trainer.train()
    trainer.save_recommender(tmp_path / "saved")
    stock = stock_vectors(tmp_path / "saved", kinds)
    assert stock.shape == (kinds.num_items, 16)
    np.testing.assert_allclose(stock, recommender.item_vectors(), atol=1e-5)
    loaded = AutoRecommender.from_pretrained(tmp_path / "saved")
    np.testing.assert_allclose(loaded.item_vectors(), recommender.item_vectors(), atol=1e-6)
    # New items are encoded by the model that was saved, without the adaptor, which the recommender has.
    title = kinds.titles[5]
    added = loaded.add_items({"twin": title}, texts=[item_texts(kinds)[5]])
    np.testing.assert_allclose(added.item_vectors()[-1], loaded.item_vectors()[5], atol=1e-5)
    added.save_pretrained(tmp_path / "again")
    np.testing.assert_allclose(stock_vectors(tmp_path / "again", kinds), recommender.item_vectors(), atol=1e-5)
    # Another recommender in the same folder, without such a model: nothing of it stays.
    TextEncoderRecommender.from_dataset(kinds, hidden_size=16).save_pretrained(tmp_path / "again")
    assert not list((tmp_path / "again/text_encoder").rglob("*.*"))


def test_checkpoints_are_the_best_and_runs_are_resumed(kinds, sentence_folder, tmp_path):
    options = {"max_steps": 12, "eval_strategy": "steps", "eval_steps": 4, "save_strategy": "steps", "save_steps": 4}
    options |= {"load_best_model_at_end": True, "logging_steps": 1, "save_total_limit": None, "patience": 0}
    first = tuned(kinds, sentence_folder, tmp_path / "run", "lora", **options)
    first.train()
    scores = [entry["eval_ndcg@10"] for entry in first.state.log_history if "eval_ndcg@10" in entry]
    assert len(scores) == 3 and first.rank()["ndcg@10"] == pytest.approx(max(scores), abs=1e-6)
    again = tuned(kinds, sentence_folder, tmp_path / "run", "lora", **options)
    again.train(resume_from_checkpoint=str(tmp_path / "run/checkpoint-8"))
    losses = [[entry["loss"] for entry in each.state.log_history if "loss" in entry] for each in (first, again)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_items_without_interactions_are_no_negatives_and_are_recommended(kinds, sentence_folder, tmp_path):
    split = kinds.split(cold_items=0.2, cold_seed=1)
    trainer = tuned(kinds, sentence_folder, tmp_path, "full", split)
    targets = {int(trainer.train_dataset[slot]["target"]) for slot in range(len(trainer.train_dataset))}
    assert not targets & set(np.flatnonzero(split.is_cold)), "they are neither targets nor negatives"
    trainer.train()
    first = trainer.recommender.rank(split.test.histories, 10)[0]
    assert split.is_cold[first].mean() > 0.5 * split.is_cold.mean()


def test_fine_tuning_needs_a_split_and_an_encoder(kinds, sentence_folder, tmp_path):
    recommender = TextEncoderRecommender.from_dataset(kinds, text_encoder=sentence_folder, history_encoder="text")
    args = TextEncoderTrainingConfig(output_dir=str(tmp_path), finetune="full", use_cpu=True)
    with pytest.raises(ValueError, match="split: fine-tuning needs one"):
        TextEncoderTrainer(recommender, args)
    with pytest.raises(ValueError, match="encoder: a model with history_encoder 'text' needs"):
        TextEncoderRecommender(recommender.model, recommender.catalog)
