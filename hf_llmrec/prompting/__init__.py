"""Segments, templates and chat frames, from which prompts are built."""
