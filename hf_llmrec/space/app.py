"""The demo as a Gradio app: takes a history and a wish and shows what each recommender returns for them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path

import gradio as gr  # pyright: ignore[reportMissingImports]  # the extra `space`
from gradio import themes  # pyright: ignore[reportMissingImports]  # the extra `space`
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
# Requests ranked at once, and requests that may wait in the queue; further ones are rejected.
_AT_ONCE, _WAITING = 1, 32


def build_app(shop: Shop, note: str = "") -> gr.Blocks:
    """Build the app. Requests are ranked one at a time, in a queue.

    Args:
        shop: the recommenders to show.
        note: Markdown shown below the introduction.
    """
    pages = Pages(shop)

    def choices(item_ids: Iterable[str]) -> list[tuple[str, str]]:
        return [(shop.titles[shop.row[item]] or item, item) for item in item_ids]

    def chosen(history: Sequence[str] | None) -> dict:
        items = shop.in_catalogue(history or [])
        return gr.update(choices=choices(dict.fromkeys(items)), value=items)

    def find(text: str) -> dict:
        matches = [shop.item_ids[row] for row in shop.search.find(text[:MAX_WISH])]
        info = "No title has these words." if text.strip() and not matches else None
        return gr.update(choices=choices(matches), value=None, visible=bool(text.strip()), info=info)

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
        items = shop.in_catalogue(history)
        if len(items) < len(history):
            gr.Warning(f"{len(history) - len(items)} entries of the history were left out: unknown, or too many.")
        if not items and not wish.strip():
            gr.Info("Without a history, each model gives the answer that it has for everybody.")
        answers = shop.recommend(items, wish, int(count))
        return (*(pages.answer(each, wish) for each in answers), pages.map(items, answers))

    with gr.Blocks(title="hf_llmrec", analytics_enabled=False) as app:
        gr.Markdown(_INTRO + note)
        with gr.Row():
            with gr.Column():
                search = gr.Textbox(
                    label="Search the catalogue", placeholder="words of a title, or an item id", max_length=MAX_WISH
                )
                matches = gr.Radio([], label="Choose to add it", visible=False, elem_id="matches")
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
        # A search runs at each keystroke: it does not wait in the queue behind recommendations.
        unqueued = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        search.input(find, search, matches, trigger_mode="always_last", **unqueued)
        matches.input(add, [matches, history], [history, matches], **unqueued)
        history.input(chosen, history, history, **unqueued)
        sampled.click(sample, None, history, api_visibility="private", concurrency_id="models")
        cleared.click(lambda: (gr.update(choices=[], value=[]), ""), None, [history, wish], **unqueued)
        event = {"fn": recommend, "inputs": [history, wish, count], "outputs": [*panels, picture]}
        event["concurrency_id"] = "models"  # shared by all events that rank: one request at a time
        go.click(**event, api_name="recommend")
        wish.submit(**event, api_visibility="private")
    app.queue(default_concurrency_limit=_AT_ONCE, max_size=_WAITING)
    return app


def launch_options() -> dict:
    """Options of ``launch``: style sheet and theme, with system fonts instead of downloaded ones."""
    theme = themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    style = resources.files("hf_llmrec").joinpath("space/style.css").read_text(encoding="utf-8")
    return {"css": style, "theme": theme, "footer_links": ["api"], "ssr_mode": False}


def main(folder: str | os.PathLike) -> None:
    """Serve a Space: the models named in its README's front matter, or else the demo models.

    Args:
        folder: folder of the Space, with ``README.md``.
    """
    start_logging()
    card = RepoCard.load(Path(folder) / "README.md", ignore_metadata_errors=False)
    models: list[str] = card.data.to_dict().get("models") or []
    shop = Shop.load(models or demo_models())
    build_app(shop, "" if models else _DEMO_NOTE).launch(**launch_options())
