"""RecBole's atomic files of data sets that were split beforehand, with and without histories of targets."""

import pytest

from hf_llmrec import RecDataset
from hf_llmrec.cli import convert as command

PLAIN = "user_id:token\titem_id:token"
LISTED = "user_id:token\titem_id_list:token_seq\titem_id:token"


def sequences(tmp_path, files: dict[str, tuple[str, list[str]]]) -> dict[str, str]:
    """Each user's items in order, as one word."""
    (tmp_path / "raw").mkdir()
    for name, (head, rows) in files.items():
        (tmp_path / "raw" / name).write_text("".join(f"{line}\n" for line in [head, *rows]))
    output = str(tmp_path / "data")
    command.main(["recbole", "--input", str(tmp_path / "raw"), "--output_dir", output, "--max_bad_lines", "0"])
    dataset = RecDataset.load(output)
    return {
        user: "".join(dataset.item_ids[row] for row in dataset.sequence(n)) for n, user in enumerate(dataset.user_ids)
    }


def listed(*rows: str) -> list[str]:
    """Rows such as `u abc d`: the user, the history and the target."""
    return ["\t".join([user, " ".join(history), target]) for user, history, target in map(str.split, rows)]


@pytest.mark.parametrize("parts", [("train", "valid", "test"), ("train", "dev", "test")])
def test_training_rows_come_first(parts, tmp_path):
    rows = (["u\ta", "v\tx", "u\tb", "u\tc", "v\ty"], ["u\td", "v\tz"], ["u\te", "v\tw"])
    files = {f"toy.{part}.inter": (PLAIN, lines) for part, lines in zip(parts, rows, strict=True)}
    assert sequences(tmp_path, files) == {"u": "abcde", "v": "xyzw"}


def test_ties_in_time_keep_the_order_of_the_parts(tmp_path):
    head = f"{PLAIN}\ttimestamp:float"
    parts = {"train": ["u\tc\t1", "u\tb\t5"], "valid": ["u\ta\t5"], "test": ["u\td\t5"]}
    assert sequences(tmp_path, {f"t.{part}.inter": (head, rows) for part, rows in parts.items()}) == {"u": "cbad"}


def test_histories_are_put_together_with_their_first_items(tmp_path, capsys):
    files = {
        "toy.train.inter": (LISTED, listed("u a b", "v p q", "u ab c", "u abc d")),
        "toy.valid.inter": (LISTED, listed("u abcd e", "v pq r")),
        "toy.test.inter": (LISTED, listed("u abcde f", "v pqr s", "w xyz z")),
    }
    assert sequences(tmp_path, files) == {"u": "abcdef", "v": "pqrs", "w": "xyz"}  # the second z is left out
    assert "toy.train.inter: the order is that of item_id_list" in capsys.readouterr().out


def test_histories_in_another_order_and_cut_ones(tmp_path):
    """The longest history has three items: what came before is in earlier rows only."""
    files = {
        "toy.train.inter": (LISTED, listed("u ab c", "u a b", "u abc d", "u bcd e", "v fgh i")),
        "toy.test.inter": (LISTED, listed("u cde f")),
    }
    assert sequences(tmp_path, files) == {"u": "abcdef", "v": "fghi"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"t.train.inter": (LISTED, listed("u ab c", "u xy z"))}, "t.train.inter: the history ... x y of 'u' does not"),
        (
            {"t.train.inter": (PLAIN, ["u\ta"]), "t.test.inter": (LISTED, listed("u a b"))},
            "some files have item_id_list and some have not",
        ),
        (
            {"t.inter": (PLAIN, ["u\ta", "u\tb"]), "t.test.inter": (PLAIN, ["u\tb"])},
            "t.test.inter: t is given both complete and split .test.",
        ),
        ({"a.inter": (PLAIN, ["u\ta"]), "b.inter": (PLAIN, ["u\tb"])}, "of a.inter, b.inter do not tell their order"),
        ({"t.part1.inter": (PLAIN, ["u\ta"]), "t.part2.inter": (PLAIN, ["u\tb"])}, "do not tell their order"),
    ],
)
def test_what_has_no_certain_order_is_refused(files, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        sequences(tmp_path, files)


def test_a_log_without_a_known_column_of_times_says_so(tmp_path, capsys):
    assert sequences(tmp_path, {"t.inter": (f"{PLAIN}\tmoment:float", ["u\tb\t9", "u\ta\t5"])}) == {"u": "ba"}
    assert "t.inter: no column of times (timestamp, time, date; --timestamp_column" in capsys.readouterr().out
