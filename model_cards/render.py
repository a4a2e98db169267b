"""Render the example cards from the committed results: python model_cards/render.py

A test renders them again and compares: a card never says what its result file does not.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from hf_llmrec.hub.model_card import CardFacts, facts_from_json, make_card

HERE = Path(__file__).parent


def rendered_cards() -> dict[str, str]:
    """Text of every card, by the name of its file."""
    spec = yaml.safe_load((HERE / "cards.yaml").read_text(encoding="utf-8"))
    cards = {}
    for name, card in spec["cards"].items():
        comparison = card.get("comparison", spec["comparison"])
        paths = {"comparison": comparison, "result": card["result"], "index": card.get("index")}
        files = facts_from_json(**{field: path and HERE.parent / path for field, path in paths.items()})
        facts = CardFacts(
            f"org/{name}",
            card["method"],
            spec["dataset"],
            spec["num_items"],
            name=card["name"],
            command=card["command"],
            **files,
        )
        cards[f"{name}.md"] = str(make_card(facts)).rstrip() + "\n"
    return cards


if __name__ == "__main__":
    for file, text in rendered_cards().items():
        (HERE / file).write_text(text, encoding="utf-8")
        print(HERE / file)
