"""`import hf_llmrec` is light, and all that the auto classes and `pipeline` need to know of the package."""

import json
import subprocess
import sys

import pytest

BASE = "import sys\nimport torch\nfrom transformers import AutoModel, PreTrainedModel, pipeline\n"
# What needs seconds, or is needed by few: imported when it is used.
HEAVY = {
    *("accelerate", "datasets", "evaluate", "faiss", "fsspec", "gradio", "matplotlib", "pandas", "peft", "pyarrow"),
    *("scipy", "sentence_transformers", "sklearn", "torch_geometric", "trl"),
}
# Parts of the package that registering takes.
LIGHT = {"data", "evaluation", "indexing", "methods", "pipelines", "prompting", "registration"}
# Files of a method that only training or asking takes.
LATE = {"prompt", "recommender", "rows", "fit", "trainer", "trainer_config"}


def run(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def added():
    """Modules that the import adds to a process with torch and transformers."""
    code = (
        "known = set(sys.modules)\nimport hf_llmrec\nimport json\nprint(json.dumps(sorted(set(sys.modules) - known)))"
    )
    return json.loads(run(BASE + code))


def test_the_import_adds_no_heavy_package(added):
    assert "hf_llmrec.registration" in added
    assert not {name.split(".")[0] for name in added} & HEAVY


def test_the_import_adds_only_the_parts_that_it_registers(added):
    own = {name for name in added if name.startswith("hf_llmrec.")}
    assert {name.split(".")[1] for name in own} == LIGHT
    assert "hf_llmrec.methods.auto" in own
    assert not {name for name in own if name.startswith("hf_llmrec.methods.") and name.rpartition(".")[2] in LATE}


def test_auto_model_knows_the_models(recommender_folders):
    code = """
import sys
import hf_llmrec
from transformers import AutoModel, AutoModelForCausalLM
names = [type(AutoModel.from_pretrained(folder)).__name__ for folder in sys.argv[1:]]
print(*names, type(AutoModelForCausalLM.from_pretrained(sys.argv[1])).__name__)
"""
    folders = [str(recommender_folders[method]) for method in ("galrec", "sasrec", "lightgcn", "text_encoder")]
    assert run(code, *folders) == "GALRecModel SASRecModel LightGCNModel TextEncoderModel GALRecForCausalLM"


def test_auto_tokenizer_knows_the_tokenizer(recommender_folders, dataset):
    code = """
import sys
import hf_llmrec
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
print(type(tokenizer).__name__, tokenizer.item_index.num_items)
"""
    assert run(code, str(recommender_folders["lcrec"])) == f"LCRecTokenizer {dataset.num_items}"


@pytest.mark.parametrize("method", ["lcrec", "galrec", "sasrec", "lightgcn", "text_encoder"])
def test_pipeline_knows_the_task(recommender_folders, method):
    code = """
import sys
import hf_llmrec
from transformers import pipeline
answer = pipeline("recommendation", model=sys.argv[1])({"history": ["i3", "i4"]}, top_k=4)
print(len({each["item_id"] for each in answer}))
"""
    assert run(code, str(recommender_folders[method])) == "4"
