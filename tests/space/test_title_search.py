"""Search by words of titles."""

import pytest

from hf_llmrec.space.title_search import TitleSearch

TITLES = ["Crème brûlée torch", "Head torch, red", "Torch holder", "Creme pot", "CREME, torch holder"]
IDS = ["b1", "b2", "b3", "b4", "b5"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("torch", [2, 0, 1, 4]),  # titles that start with it come first
        ("creme", [0, 3, 4]),
        ("CRÈ tor", [0, 4]),  # any order, case and accent; beginnings of words
        ("orch", []),
        ("holder torch", [2, 4]),
        ("b4", [3]),
        ("  , ", []),
        ("", []),
        ("(torch", [2, 0, 1, 4]),
    ],
)
def test_what_is_found(text, expected):
    assert TitleSearch(IDS, TITLES).find(text) == expected


def test_the_limit_keeps_the_best():
    assert TitleSearch(IDS, TITLES).find("torch", 2) == [2, 0]
