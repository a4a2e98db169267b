"""Published repositories, each read by its id in a fresh process from a local Hub: with the package, and without it."""

import json

import pytest
import torch
from transformers import pipeline

from hf_llmrec.hub.publish import Publication, prepare
from hf_llmrec.indexing.rqvae.configuration_rqvae import RQVAEConfig
from hf_llmrec.indexing.rqvae.modeling_rqvae import RQVAEModel

from .server import TOKEN, run

METHODS = ("lcrec", "galrec", "sasrec", "lightgcn", "text_encoder")
WITHOUT = 'import sys; sys.modules["hf_llmrec"] = None\n'


@pytest.fixture(scope="module")
def folders(recommender_folders, tmp_path_factory):
    """What each repository holds, by method; and the RQ-VAE's."""
    root = tmp_path_factory.mktemp("repositories")
    for method in METHODS:
        prepare(recommender_folders[method], f"me/{method}-ring", Publication(), root / method)
    torch.manual_seed(0)
    sizes = {"hidden_sizes": [16, 8], "codebook_dim": 4, "codebook_sizes": [6, 6, 5]}
    RQVAEModel(RQVAEConfig(input_dim=12, **sizes)).eval().save_pretrained(root / "rqvae")
    return root


@pytest.fixture(scope="module")
def hub(hub, folders):
    for method in (*METHODS, "rqvae"):
        hub.add_folder("models", f"me/{method}-ring", folders / method)
    return hub


def test_lcrec_is_a_stock_model_for_whoever_has_transformers(hub, home):
    code = f"""{WITHOUT}
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer
print(
    type(AutoModel.from_pretrained("me/lcrec-ring")).__name__,
    type(AutoModelForCausalLM.from_pretrained("me/lcrec-ring")).__name__,
    len(AutoTokenizer.from_pretrained("me/lcrec-ring")("<a_1><b_2><c_3>", add_special_tokens=False)["input_ids"]),
)
"""
    assert run(hub, home, code) == "LlamaModel LlamaForCausalLM 3"


def test_lcrec_generates_items_by_the_repositorys_own_code(hub, home, dataset):
    code = f"""{WITHOUT}
import json
from huggingface_hub import hf_hub_download
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained("me/lcrec-ring", trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained("me/lcrec-ring")
index = json.load(open(hf_hub_download("me/lcrec-ring", "item_index.json")))
known = {{"".join(f"<{{chr(97 + level)}}_{{code}}>" for level, code in enumerate(codes)) for codes in index["codes"]}}
found = model.generate(**tokenizer(["<a_1><b_2><c_3>"], return_tensors="pt", return_token_type_ids=False), num_beams=9)
texts = [text.replace(" ", "") for text in tokenizer.batch_decode(found[:, -3:])]
print(len(set(texts)), set(texts) <= known)
"""
    assert run(hub, home, code) == "9 True"


LOAD_GALREC = """
import torch
from transformers import AutoModel, AutoModelForCausalLM
options = {"trust_remote_code": True} if "--trust" in sys.argv else {}
base = AutoModel.from_pretrained("me/galrec-ring", **options)
causal = AutoModelForCausalLM.from_pretrained("me/galrec-ring", **options)
ids = torch.tensor([[base.config.first_item_id + item for item in (3, 4, 5)] + [base.config.special_token_ids["REC"]]])
own = torch.tensor([[3, 4, 5]])
scores = [model.eval().score_prompts(ids, own) for model in (base, causal.model)]
torch.testing.assert_close(*scores)
print(type(base).__module__.split(".")[0], type(base).__name__, type(causal).__name__, f"{scores[0].sum().item():.3f}")
"""


def test_galrec_with_the_import_and_by_remote_code_alone(hub, home):
    mine = run(hub, home, "import sys, hf_llmrec\n" + LOAD_GALREC).split()
    theirs = run(hub, home, WITHOUT + LOAD_GALREC, "--trust").split()
    assert mine[0] == "hf_llmrec" and theirs[0] == "transformers_modules"
    assert mine[1:] == theirs[1:] and mine[1:3] == ["GALRecModel", "GALRecForCausalLM"]


def test_galrec_without_trust_says_what_is_missing(hub, home):
    code = (
        WITHOUT
        + """
from transformers import AutoModel
try:
    AutoModel.from_pretrained("me/galrec-ring", trust_remote_code=False)
except ValueError as error:
    print("trust_remote_code" in str(error))
"""
    )
    assert run(hub, home, code) == "True"


def test_one_pipeline_for_every_method(hub, home, folders):
    code = """
import json, sys
import hf_llmrec
from transformers import pipeline
ask = lambda method: pipeline("recommendation", model=f"me/{method}-ring")({"history": ["i3", "i4"]}, top_k=4)
print(json.dumps({method: ask(method) for method in sys.argv[1:]}))
"""
    found = json.loads(run(hub, home, code, *METHODS))
    for method in METHODS:
        here = pipeline("recommendation", model=str(folders / method))({"history": ["i3", "i4"]}, top_k=4)
        assert [each["item_id"] for each in found[method]] == [each["item_id"] for each in here], method
        assert [each["score"] for each in found[method]] == pytest.approx([each["score"] for each in here], abs=1e-4)


def test_a_space_shows_published_models(hub, home):
    code = """
import sys
import hf_llmrec
from hf_llmrec.space.shop import Shop
answers = Shop.load(sys.argv[1:]).recommend(["i3"], "number 5", count=4)
print(*(f"{answer.name}:{len(answer.rows)}" for answer in answers))
"""
    found = run(hub, home, code, *(f"me/{method}-ring" for method in METHODS))
    assert found == "LC-Rec:4 GAL-Rec:4 SASRec:4 LightGCN:4 text encoder:4"


def test_the_rqvae_with_the_package_and_without(hub, home):
    code = """
import torch
from transformers import AutoModel
model = AutoModel.from_pretrained("me/rqvae-ring", trust_remote_code="--trust" in sys.argv)
print(type(model).__name__, sum(p.double().sum().item() for p in model.parameters()).__round__(4))
"""
    mine = run(hub, home, "import sys, hf_llmrec\n" + code)
    assert mine == run(hub, home, WITHOUT + code, "--trust") and mine.startswith("RQVAEModel")


def test_a_download_that_breaks_off_is_resumed_or_an_error_but_never_half_a_model(hub, tmp_path):
    code = """
import sys
import hf_llmrec
from transformers import pipeline
try:
    print(len(pipeline("recommendation", model="me/sasrec-ring")({"history": ["i3"]}, top_k=4)))
except Exception as error:
    print("failed", type(error).__name__)
"""
    home = tmp_path / "home"
    hub.cut["model.safetensors"] = 1000  # every answer breaks off
    assert run(hub, home, code).startswith("failed")
    hub.cut["model.safetensors"] = 1  # one does
    assert run(hub, home, code) == "4"
    assert hub.cut["model.safetensors"] == 0, "nothing broke off"


def test_private_repositories_and_revisions_for_every_method(hub, home, tmp_path):
    code = """
import json, sys
import hf_llmrec
from transformers import pipeline
where = {"token": sys.argv[1]} if sys.argv[1] else {}
found = {}
for place in sys.argv[2:]:
    method, revision = place.split("@")
    try:
        rec = pipeline("recommendation", model=f"me/{method}-ring", revision=revision, **where)
        found[place] = rec({"history": ["i3"]}, top_k=1)[0]["title"]
    except OSError as error:
        found[place] = "denied"
print(json.dumps(found))
"""
    first = {}
    for method in METHODS:
        repo = hub.repos["models", f"me/{method}-ring"]
        first[method] = repo.branches["main"]
        catalog = json.loads(repo.commits[first[method]]["item_catalog.json"])
        renamed = [{**item, "title": "renamed"} for item in catalog["items"]]
        repo.commit({"item_catalog.json": json.dumps({**catalog, "items": renamed}).encode()}, "june")
        repo.private = True
    try:
        places = [f"{method}@{revision}" for method in METHODS for revision in ("june", first[method])]
        denied = json.loads(run(hub, tmp_path / "home", code, "", *places, token=None))
        assert set(denied.values()) == {"denied"}
        found = json.loads(run(hub, tmp_path / "home", code, TOKEN, *places, token=None))
    finally:
        for method in METHODS:
            hub.repos["models", f"me/{method}-ring"].private = False
    for method in METHODS:
        assert found[f"{method}@june"] == "renamed"
        assert found[f"{method}@{first[method]}"].startswith("Ring piece")
