"""Segments, templates and chats: what prompts are made of."""
