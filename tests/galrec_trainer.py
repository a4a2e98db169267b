"""A small GAL-Rec trainer on the ring."""

import dataclasses

import pytest
import torch

from hf_llmrec.data.recommender_folder import ItemCatalog
from hf_llmrec.methods.galrec.modeling_galrec import GALRecForCausalLM
from hf_llmrec.methods.galrec.prompt import GALRecLayout, GALRecPrompt
from hf_llmrec.methods.galrec.recommender import GALRecRecommender
from hf_llmrec.methods.galrec.trainer import GALRecTrainer
from hf_llmrec.methods.galrec.trainer_config import GALRecTrainingConfig
from hf_llmrec.training.backbones import build_backbone
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture
def galrec(dataset, tmp_path):
    """Makes a trainer: ``galrec(**options of GALRecTrainingConfig, and fields of GALRecPrompt)``."""
    split = dataset.split()
    tokenizer = train_corpus_tokenizer(dataset.titles, vocab_size=300)

    def make(peft_config=None, architecture="llama", tied=True, callbacks=None, **options):
        values = dict(
            output_dir=str(tmp_path / "out"),
            max_steps=8,
            learning_rate=1e-2,
            per_device_train_batch_size=10,
            queue_length=16,
            momentum=0.9,
            save_total_limit=5,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            eval_users=20,
            seed=1,
        )
        fields = {each.name for each in dataclasses.fields(GALRecPrompt)} - {"max_length"}
        prompt = {"num_neighbors": 3, **{name: options.pop(name) for name in fields & set(options)}}
        args = GALRecTrainingConfig(**{**values, **options})
        torch.manual_seed(0)
        overrides = SIZES if tied else {**SIZES, "tie_word_embeddings": False}
        backbone = build_backbone("tiny", tokenizer, architecture=architecture, overrides=SIZES)
        if not tied:
            backbone = type(backbone)(type(backbone.config)(**{**backbone.config.to_dict(), **overrides}))
        model = GALRecForCausalLM.from_backbone(
            backbone, num_items=dataset.num_items, external_sizes={"text": 8}, projection_size=8
        )
        model.model.set_item_vectors({"text": torch.randn(dataset.num_items, 8)})
        layout = GALRecLayout(GALRecPrompt(**prompt), model.config, tokenizer, dataset.titles)
        recommender = GALRecRecommender(model, layout, ItemCatalog.of_dataset(dataset), tokenizer=tokenizer)
        return GALRecTrainer(recommender, args, split=split, peft_config=peft_config, callbacks=callbacks)

    return make
