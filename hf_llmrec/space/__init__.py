"""The demo app: recommenders side by side in a browser, with reasons. Needs the extra ``space`` (Gradio)."""
