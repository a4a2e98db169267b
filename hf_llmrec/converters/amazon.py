"""Amazon reviews: the releases of 2014, 2018 and 2023."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .line_source import LineSource
from .lines import RawFile
from .records import record
from .source import Interaction, Item, Remote
from .text import clean_name, identifier, joined, plain
from .times import time_value

_TERMS = "Its publisher states no licence; the reviews belong to their authors and Amazon. It is used for research."


def title(value: Any) -> str:
    """Clean a title; empty if the release has a piece of the page's script instead.

    Args:
        value: title in the raw record, or ``None``.
    """
    text = clean_name(value)
    return "" if "getTime()" in text else text


class _Amazon(LineSource):
    log_url, item_url = "", ""
    columns = {"user_id": "reviewerID", "item_id": "asin", "timestamp": "unixReviewTime"}
    item_column = "asin"
    rating_column, text_column = "overall", "reviewText"

    def downloads(self, category: str | None = None) -> tuple[Remote, ...]:
        if not category:
            raise ValueError(f"{self.label}: say which category (--category), as its publisher writes it")
        return Remote(self.log_url.format(category)), Remote(self.item_url.format(category))

    def sort(self, paths: Sequence[RawFile]) -> tuple[list[RawFile], list[RawFile]]:
        about = [path for path in paths if path.name.startswith("meta_")]
        return [path for path in paths if ".json" in path.name and path not in about], about

    def interaction(self, line: str) -> Interaction:
        row = record(line)
        return Interaction(
            identifier(self.value(row, "user_id")),
            identifier(self.value(row, "item_id")),
            time_value(self.value(row, "timestamp")),
            float(row[self.rating_column]),
            plain(row.get(self.text_column)),
        )

    def described(self, row: dict[str, Any], categories: str) -> Item:
        """Convert a record about an item of the releases of 2014 and 2018.

        Args:
            row: the record.
            categories: categories of the item, as one text.
        """
        texts = (title(row.get("title")), plain(row.get("description")), clean_name(row.get("brand")))
        return Item(identifier(self.item_value(row)), *texts, categories)


class Amazon2014(_Amazon):
    """Reviews in JSON, metadata as Python literals with single quotes."""

    name, label = "amazon-2014", "Amazon reviews 2014"
    log_url = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles/reviews_{}_5.json.gz"
    item_url = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles/meta_{}.json.gz"
    homepage = "https://cseweb.ucsd.edu/~jmcauley/datasets/amazon/links.html"
    files = "reviews_CATEGORY_5.json.gz and meta_CATEGORY.json.gz"
    licence = _TERMS
    citation = """@inproceedings{mcauley2015image,
  title={Image-based recommendations on styles and substitutes},
  author={McAuley, Julian and Targett, Christopher and Shi, Qinfeng and van den Hengel, Anton},
  booktitle={SIGIR}, year={2015}
}"""

    def item(self, line: str) -> Item:
        row = record(line)
        return self.described(row, joined(part for path in row.get("categories") or () for part in path))


class Amazon2018(_Amazon):
    """Reviews and metadata in JSON; descriptions and categories are lists."""

    name, label = "amazon-2018", "Amazon reviews 2018"
    log_url = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2/categoryFilesSmall/{}_5.json.gz"
    item_url = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2/metaFiles2/meta_{}.json.gz"
    homepage = "https://nijianmo.github.io/amazon/"
    files = "CATEGORY_5.json.gz (or CATEGORY.json.gz) and meta_CATEGORY.json.gz"
    licence = _TERMS
    citation = """@inproceedings{ni2019justifying,
  title={Justifying recommendations using distantly-labeled reviews and fine-grained aspects},
  author={Ni, Jianmo and Li, Jiacheng and McAuley, Julian},
  booktitle={EMNLP-IJCNLP}, year={2019}
}"""

    def item(self, line: str) -> Item:
        row = record(line)
        return self.described(row, joined(row.get("category") or ()))


class Amazon2023(_Amazon):
    """Times in milliseconds; variants of a product have one ``parent_asin``, which is the item."""

    columns = {"user_id": "user_id", "item_id": "parent_asin", "timestamp": "timestamp"}
    item_column = "parent_asin"
    rating_column, text_column = "rating", "text"
    name, label = "amazon-2023", "Amazon reviews 2023"
    log_url = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023/raw/review_categories/{}.jsonl.gz"
    item_url = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023/raw/meta_categories/meta_{}.jsonl.gz"
    homepage = "https://amazon-reviews-2023.github.io/"
    files = "CATEGORY.jsonl.gz and meta_CATEGORY.jsonl.gz"
    licence = _TERMS
    citation = """@article{hou2024bridging,
  title={Bridging language and items for retrieval and recommendation},
  author={Hou, Yupeng and Li, Jiacheng and He, Zhankui and Yan, An and Chen, Xiusi and McAuley, Julian},
  journal={arXiv:2403.03952}, year={2024}
}"""

    def item(self, line: str) -> Item:
        row = record(line)
        return Item(
            identifier(self.item_value(row)),
            title(row.get("title")),
            plain([*(row.get("features") or ()), *(row.get("description") or ())]),
            clean_name(row.get("store")),
            joined(row.get("categories") or ()),
        )
