"""The headers of the configurations for pretrained models, and docs/scale.md, say what the committed plans say."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLANS = json.loads((ROOT / "results/benchmarks/plans.json").read_text())["plans"]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan['config']}-{plan['accelerate']}")
def test_figures_are_the_same_everywhere(plan):
    header = (ROOT / plan["config"]).read_text().split("model_name_or_path:")[0]
    for said in (f"{plan['memory_gib']} GiB", f"take {plan['hours']} h", f"{plan['million_tokens_per_epoch']} million"):
        assert said in header
    assert f"{plan['accelerate']}.yaml" in header and plan["memory_gib"] < plan["gpu_memory_gib"]
    row = next(
        line
        for line in (ROOT / "docs/scale.md").read_text().splitlines()
        if plan["config"].removeprefix("recipes/configs/") in line and f"`{plan['accelerate']}.yaml`" in line
    )
    for said in (f"{plan['memory_gib']} GiB", f"{plan['hours']} |", f"{plan['million_tokens_per_epoch']} M"):
        assert said in row


def test_every_configuration_has_its_plan():
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "recipes/configs").glob("*/*.yaml")
        if "model_name_or_path:" in path.read_text()
    }
    assert found == {plan["config"] for plan in PLANS}
