"""The demo as a Gradio app: a history, a wish, and what each recommender makes of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import gradio as gr
from huggingface_hub import RepoCard

from ..cli.processes import start_logging
from .demo_models import demo_models
from .pages import Pages
from .shop import MAX_HISTORY, MAX_ITEMS, MAX_WISH, Shop

_INTRO = """# hf_llmrec: recommenders side by side

Say what somebody chose before, oldest first: each model recommends what comes next, over the whole catalogue.
"""
_DEMO_NOTE = """These models were trained on a synthetic shop, on this machine and within a minute: they show how it
works, not how well. For figures of fully trained ones see hf_llmrec's README."""
# Requests beyond these wait, and beyond those are told to come back.
_AT_ONCE, _WAITING = 1, 32


def build_app(shop: Shop, note: str = "") -> gr.Blocks:
    """The app of a shop; ``note`` is shown below the introduction. Requests are ranked one at a time, in a queue."""
    pages = Pages(shop)

    def choices(item_ids: Sequence[str]) -> list[tuple[str, str]]:
        return [(shop.titles[shop.row[item]] or item, item) for item in item_ids]

    def chosen(history: Sequence[str] | None) -> dict:
        known = shop.known(history or [])
        return gr.update(choices=choices(dict.fromkeys(known)), value=known)

    def find(text: str) -> dict:
        found = [shop.item_ids[row] for row in shop.search.find(text[:MAX_WISH])]
        info = "No title has these words." if text.strip() and not found else None
        return gr.update(choices=choices(found), value=None, visible=bool(text.strip()), info=info)

    def add(item: str | None, history: list[str] | None) -> tuple[dict, dict]:
        history = history or []
        if item and item not in history:
            if len(history) >= MAX_HISTORY:
                gr.Warning(f"A history has {MAX_HISTORY} items at most: the oldest one leaves.")
            history = [*history, item]
        return chosen(history), gr.update(value=None)

    def sample() -> dict:
        return chosen(shop.sample_history())

    def recommend(history: list[str] | None, wish: str, count: float) -> tuple[str, ...]:
        history, wish = history or [], wish or ""
        known = shop.known(history)
        if len(known) < len(history):
            gr.Warning(f"{len(history) - len(known)} entries of the history were left out: unknown, or too many.")
        if not known and not wish.strip():
            gr.Info("Without a history, each model gives the answer that it has for everybody.")
        answers = shop.recommend(known, wish, int(count))
        return (*(pages.answer(each, wish) for each in answers), pages.map(known, answers))

    with gr.Blocks(title="hf_llmrec", analytics_enabled=False) as app:
        gr.Markdown(_INTRO + note)
        with gr.Row():
            with gr.Column():
                search = gr.Textbox(
                    label="Search the catalogue", placeholder="words of a title, or an item id", max_length=MAX_WISH
                )
                found = gr.Radio([], label="Choose to add it", visible=False, elem_id="found")
                history = gr.Dropdown(
                    [], label="History, oldest first", multiselect=True, allow_custom_value=True, elem_id="history"
                )
                with gr.Row():
                    sampled = gr.Button("Give me a history", size="sm")
                    cleared = gr.Button("Start over", size="sm")
            with gr.Column():
                wish = gr.Textbox(
                    label="A wish, in your own words",
                    info="read by LC-Rec",
                    max_length=MAX_WISH,
                    visible=shop.reads_wishes,
                )
                top = min(MAX_ITEMS, len(shop.item_ids))
                count = gr.Slider(1, top, value=min(5, top), step=1, label="Recommendations")
                go = gr.Button("Recommend", variant="primary")
        with gr.Row():
            panels = []
            for place in range(len(shop.recommenders)):
                with gr.Column(min_width=280):
                    panels.append(gr.HTML(min_height=80, elem_id=f"panel-{place}"))
        with gr.Accordion("The catalogue by first code", open=True, visible=shop.index is not None):
            gr.Markdown("A tile per first code of the item index; framed: bought from; filled: recommended from.")
            picture = gr.HTML(pages.map(), elem_id="map")
        # A search answers while somebody types: it does not wait for others' recommendations.
        at_once = {"queue": False, "show_progress": "hidden", "api_name": False}
        search.input(find, search, found, trigger_mode="always_last", **at_once)
        found.input(add, [found, history], [history, found], **at_once)
        history.input(chosen, history, history, **at_once)
        sampled.click(sample, None, history, api_name=False, concurrency_id="models")
        cleared.click(lambda: (gr.update(choices=[], value=[]), ""), None, [history, wish], **at_once)
        asked = {"fn": recommend, "inputs": [history, wish, count], "outputs": [*panels, picture]}
        asked["concurrency_id"] = "models"  # they rank one request at a time, whoever asks
        go.click(**asked, api_name="recommend")
        wish.submit(**asked, api_name=False)
    app.queue(default_concurrency_limit=_AT_ONCE, max_size=_WAITING)
    return app


def launch_options() -> dict:
    """What the app is launched with: its looks, without fonts from elsewhere."""
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    style = resources.files("hf_llmrec").joinpath("space/style.css").read_text(encoding="utf-8")
    return {"css": style, "theme": gr.themes.Default(**fonts), "footer_links": ["api"], "ssr_mode": False}


def main(folder: str | os.PathLike) -> None:
    """Serve the Space that lies in a folder: the models that its README's front matter names, else the demo's.

    Args:
        folder: with ``README.md``.
    """
    start_logging()
    models = RepoCard.load(Path(folder) / "README.md", ignore_metadata_errors=False).data.to_dict().get("models") or []
    shop = Shop.load(models or demo_models())
    build_app(shop, "" if models else _DEMO_NOTE).launch(**launch_options())
