import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen3Config

from hf_llmrec.methods.galrec.modeling_galrec import GALRecForCausalLM

from ...galrec_trainer import galrec as galrec  # a fixture

NUM_ITEMS, NUM_USERS, SIZES = 12, 9, {"text": 6, "collaborative": 4}
SMALL = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
BACKBONES = {
    "llama": LlamaConfig(**SMALL, intermediate_size=32, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**SMALL, intermediate_size=32, num_key_value_heads=1, head_dim=8, tie_word_embeddings=False),
    "gpt2": GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=64),
}


def build(architecture: str = "llama", **fields) -> GALRecForCausalLM:
    torch.manual_seed(0)
    config = AutoConfig.for_model(**BACKBONES[architecture].to_dict())
    backbone = AutoModelForCausalLM.from_config(config)
    model = GALRecForCausalLM.from_backbone(backbone, num_items=NUM_ITEMS, external_sizes=SIZES, **fields)
    model.model.set_item_vectors({kind: torch.randn(NUM_ITEMS, size) for kind, size in SIZES.items()})
    set_users(model.model)
    # Weights far from zero: a test of what a token sees must not pass because attention hardly mixes.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.3)
    return model.eval()


def set_users(model) -> None:
    """Nine users with two items each."""
    items = torch.randint(NUM_ITEMS, (2 * NUM_USERS,), generator=torch.Generator().manual_seed(5))
    model.set_graph_users(items, torch.arange(0, 2 * NUM_USERS + 1, 2))


def sequence(model, history=(3, 1, 4), neighbors=(2, 7), further=(5, 8)) -> torch.Tensor:
    """int64 (1, length): history USER_1 neighbours USER_2 items USER_3 USER REC."""
    config, special = model.config, model.config.special_token_ids
    tokens = [config.first_item_id + i for i in history] + [special["USER_1"]]
    tokens += [config.first_user_id + u for u in neighbors] + [special["USER_2"]]
    tokens += [config.first_item_id + i for i in further] + [special["USER_3"], special["USER"], special["REC"]]
    return torch.tensor([tokens])


@pytest.fixture(params=list(BACKBONES))
def model(request) -> GALRecForCausalLM:
    return build(request.param)


@pytest.fixture
def llama() -> GALRecForCausalLM:
    return build()
