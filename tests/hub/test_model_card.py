"""Cards say what the result files say, and the Hub's own reader understands them."""

import copy
import dataclasses
import importlib.util
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from hf_llmrec.hub.model_card import METHODS, CardFacts, facts_from_json, figure, make_card
from hf_llmrec.methods.auto import RECOMMENDERS

ROOT = Path(__file__).parents[2]
BEAUTY = ROOT / "results" / "amazon-beauty-2014"
CARDS = sorted(path.name for path in (ROOT / "model_cards").glob("*.md") if path.name != "README.md")


def facts(**changes) -> CardFacts:
    files = facts_from_json(
        result=BEAUTY / "lcrec.json", comparison=BEAUTY / "comparison.json", index=BEAUTY / "index_kmeans.json"
    )
    values = {
        "repo_id": "me/beauty",
        "method": "lcrec",
        "dataset": "Beauty",
        "num_items": 12101,
        "name": "lcrec",
        **files,
    }
    return CardFacts(**{**values, **changes})


def rendered() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("render", ROOT / "model_cards" / "render.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.rendered_cards()


def test_committed_cards_are_what_the_results_say():
    cards = rendered()
    assert set(cards) == set(CARDS)
    for file, text in cards.items():
        assert (ROOT / "model_cards" / file).read_text() == text, f"{file}: run `python model_cards/render.py`"


@pytest.mark.parametrize("file", CARDS)
def test_the_front_matter_survives_the_hubs_reader(file):
    text = (ROOT / "model_cards" / file).read_text()
    card = ModelCard(text)
    again = ModelCard(str(card))
    assert card.data.to_dict() == again.data.to_dict() == yaml.safe_load(text.split("---\n")[1])
    results = {result.metric_type: result.metric_value for result in card.data.eval_results}
    spec = yaml.safe_load((ROOT / "model_cards" / "cards.yaml").read_text())["cards"][Path(file).stem]
    metrics = facts_from_json(result=ROOT / spec["result"])["result"]["metrics"]
    assert results == {name: round(value, 6) for name, value in metrics.items() if name != "num_users"}
    for name in results:
        assert f" {figure(metrics[name])} |" in card.text


@pytest.mark.parametrize("method", list(METHODS))
def test_a_card_without_results_claims_nothing(method):
    text = str(make_card(CardFacts("me/model", method, "Shop", 600)))
    assert (
        "nothing is claimed" in text and "model-index" not in text and "model_name" not in text and "None" not in text
    )
    assert ("trust_remote_code" in text) == (method in ("galrec", "lcrec"))


def test_every_method_has_a_card():
    assert set(METHODS) == set(RECOMMENDERS)


def test_what_a_card_shows():
    text = str(
        make_card(
            facts(
                base_model="Qwen/Qwen3-0.6B",
                dataset_id="me/beauty-data",
                commit="abc123",
                command="accelerate launch recipes/train_lcrec.py",
                plots={"index.png": "How the codes are used"},
            )
        )
    )
    for part in (
        *("base_model: Qwen/Qwen3-0.6B", "- me/beauty-data", "(commit abc123)", "recipes/train_lcrec.py"),
        *("![How the codes are used](index.png)", "| **lcrec** |", "worse", "12101", "1958 s on a CPU, 1 thread;"),
        *('model="me/beauty"', "license: apache-2.0", "learning_rate: 0.002"),
    ):
        assert part in text, part


def test_a_card_says_so_if_a_user_has_several_relevant_items():
    single = facts(comparison=None)
    several = copy.deepcopy(single.result)
    several["evaluation"] |= {"protocol": "temporal", "targets": "all"}
    phrase = "every item of a user in the test period is relevant"
    assert phrase in str(make_card(facts(comparison=None, result=several))) and phrase not in str(make_card(single))


def test_a_card_says_that_co_occurrences_are_published():
    with_memory, without = (str(make_card(dataclasses.replace(facts(), has_memory=has))) for has in (True, False))
    assert "co_occurrence.safetensors" in with_memory and "co_occurrence.safetensors" not in without


def test_a_card_says_which_layers_were_kept():
    words = "consists of the first 10 layers of HuggingFaceTB/SmolLM2-135M"
    base = {"base_model": "HuggingFaceTB/SmolLM2-135M"}
    shortened, whole = (str(make_card(dataclasses.replace(facts(), num_layers=n, **base))) for n in (10, None))
    assert words in shortened and "layers of" not in whole


def test_a_card_says_that_times_are_published_and_known():
    with_times, without = (str(make_card(dataclasses.replace(facts(), has_times=has))) for has in (True, False))
    assert "item_activity.safetensors" in with_times and "item_activity.safetensors" not in without
    timed = copy.deepcopy(facts().result)
    timed["evaluation"] |= {"request_times": True}
    assert "the time of each request is known" in str(make_card(facts(comparison=None, result=timed)))
    assert "the time of each request is known" not in str(make_card(facts(comparison=None)))


def test_a_comparison_of_another_run_is_found():
    other = dict(facts().result["metrics"], **{"ndcg@10": 0.9})
    with pytest.raises(ValueError, match=r"lcrec: ndcg@10 is 0\.0354\d+ in the comparison and 0\.9"):
        make_card(facts(result={**facts().result, "metrics": other}))
    with pytest.raises(ValueError, match="no model 'other'"):
        make_card(facts(name="other"))


def test_a_method_from_outside_has_a_card_without_claims_about_it():
    card = make_card(dataclasses.replace(facts(), method="other"))
    assert "other" in card.data.tags and card.data.library_name == "hf_llmrec"
    assert "**other** over" in card.text and "arxiv" not in card.text.lower()
