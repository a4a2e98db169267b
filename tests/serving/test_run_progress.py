"""What is shown of a run: users per second and time left, seldom in a log."""

import logging

from hf_llmrec.serving.run_progress import RunProgress


class Clock:
    seconds = 100.0

    def __call__(self):
        return self.seconds


def test_rate_and_time_left(caplog):
    clock = Clock()
    progress = RunProgress(5_000, now=clock)
    assert progress.line(0) == "0 of 5,000 users (0 %), 0.0 users/s, 0 s, ? left"
    clock.seconds += 4
    assert progress.line(1_200) == "1,200 of 5,000 users (24 %), 300 users/s, 4 s, 13 s left"
    assert progress.line(10).startswith("10 of 5,000 users (0 %), 2.5 users/s")
    with caplog.at_level(logging.INFO, "hf_llmrec"):
        progress(1_200)
        assert not caplog.records
        clock.seconds += 27
        progress(2_500)
        progress(2_501)
    assert [record.getMessage() for record in caplog.records] == [
        "2,500 of 5,000 users (50 %), 81 users/s, 31 s, 31 s left"
    ]


def test_in_a_terminal_one_line_is_updated(monkeypatch, capsys):
    clock = Clock()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    progress = RunProgress(10, " of process 1 of 2", now=clock)
    clock.seconds += 1
    progress(4)
    progress(5)
    progress(10)
    said = capsys.readouterr().err
    assert said.count("\r") == 2 and said.endswith("\n")
    assert "4 of 10 users of process 1 of 2 (40 %), 4.0 users/s, 1 s, 2 s left" in said
