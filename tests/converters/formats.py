"""Raw files in each publisher's format, and what comes out of them."""

import bz2
import gzip
import zipfile
from pathlib import Path

# `raw/SOURCE/` has all fields of each format, and what is odd in them. The names are those that publishers give.
FORMATS = {
    "amazon-2014": ("reviews_Grocery_5.json.gz", "meta_Grocery.json.gz"),
    "amazon-2018": ("Grocery_5.json.gz", "meta_Grocery.json.gz"),
    "amazon-2023": ("Grocery.jsonl", "meta_Grocery.jsonl.bz2"),
    "gowalla": ("loc-gowalla_totalCheckins.txt.gz",),
    "movielens-100k": ("u.data", "u.item"),
    "movielens-1m": ("ratings.dat", "movies.dat"),
    "movielens-25m": ("ratings.csv", "movies.csv"),
    "netflix": ("combined_data_1.txt", "movie_titles.txt"),
    "recbole": ("grocery.inter", "grocery.item.zip"),
    "steam": ("steam_reviews.json.gz", "steam_games.json.gz"),
    "yelp": ("yelp_academic_dataset_review.json", "yelp_academic_dataset_business.json"),
}
GROCERY = {
    "items": ["0001", "0002"],
    "titles": ["Salt & pepper", "Cook's mill"],
    "categories": ["Food, Spices, Gifts", "Kitchen"],
    "descriptions": ["", "It's a mill"],
    "brands": ["Bé", ""],
    "ratings": [5.0, 4.0],
    "review": "It's good",
}
# What comes out, where it is something; times and the user are those of all.
EXPECTED = {
    **dict.fromkeys(("amazon-2014", "amazon-2018", "amazon-2023", "recbole"), GROCERY),
    "gowalla": {"titles": ["30.2359, -97.7951", "30.2691, -97.7494"]},
    "movielens-100k": {
        "titles": ["Amélie (2001)", "9002"],
        "categories": ["Comedy, Romance", ""],
        "ratings": [5.0, 4.0],
    },
    "movielens-1m": {
        "titles": ["Amélie (2001)", "Star Trek: First Contact (1996)"],
        "categories": ["Comedy, Romance", "Action, Sci-Fi"],
        "ratings": [5.0, 4.0],
    },
    "movielens-25m": {
        "titles": ["American President, The (1995)", '"Great Performances" Cats (1998)'],
        "categories": ["Comedy, Romance", ""],
        "ratings": [5.0, 3.5],
    },
    "netflix": {"titles": ["Amélie, or: Salt (2003)", "Roti Kapada Aur Makaan"], "ratings": [5.0, 4.0]},
    "steam": {
        "titles": ["Salt ™ & Pepper", "Cook's mill"],
        "categories": ["Action, Casual, Indie", "Indie"],
        "brands": ["Kotoshiro", ""],
        "review": "It's good",
    },
    "yelp": {
        "items": ["B9001", "B9002"],
        "titles": ["Salt & Pepper", "Cook's mill"],
        "categories": ["Food, Spices", ""],
        "descriptions": ["Tucson, AZ", ""],
        "ratings": [5.0, 4.0],
        "review": "It's good. Really.",
    },
}
LATIN = {"u.item", "movies.dat", "movie_titles.txt"}


def fixture(name: str, file: str) -> list[str]:
    path = Path(__file__).parent / "raw" / name / file
    plain = path.with_suffix("") if path.suffix in (".gz", ".bz2", ".zip") else path
    return plain.read_text(encoding="latin-1" if file in LATIN else "utf-8").splitlines()


def write(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(f"{line}\n" for line in lines).encode("latin-1" if path.name in LATIN else "utf-8")
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(path.stem, data)
    else:
        path.write_bytes({".gz": gzip.compress, ".bz2": bz2.compress}.get(path.suffix, bytes)(data))
    return path


def raw(folder: Path, name: str) -> Path:
    for file in FORMATS[name]:
        write(folder / file, fixture(name, file))
    return folder


def many(name: str) -> tuple[list[str], list[str]]:
    """A log of 12 users and 17 items in a format, and lines about the items."""
    log_file, item_file = (*FORMATS[name], None)[:2]
    logs, about = fixture(name, log_file), fixture(name, item_file) if item_file else []
    head = 1 if name in ("recbole", "movielens-25m") else 0
    user_id, item_id = ("A1", "0001") if EXPECTED[name] is GROCERY else ("7001", "9001")
    pairs = [(user, user + step) for user in range(12) for step in range(6)]
    if name == "netflix":
        rows = [
            line
            for item in range(17)
            for line in (f"{9100 + item}:", *(f"{u},5,2009-09-13" for u, i in pairs if i == item))
        ]
    else:
        line = logs[head].replace("0009", "0001")
        rows = [line.replace(item_id, str(9100 + i)).replace(user_id, str(7100 + u)) for u, i in pairs]
    items = []
    if about:
        line = about[head].replace("'0002'", "'9'")
        items = [line.replace(item_id, str(9100 + item)) for item in range(17)]
    return [*logs[:head], *rows], [*about[:head], *items]
