"""Item activity and time features: what counts before a request, against brute-force counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.data.item_activity import DAY, HOUR, ItemActivity
from hf_llmrec.data.time_features import (
    FEATURES,
    NEW_DAYS,
    PSEUDO_COUNTS,
    WINDOWS,
    TimeFeatures,
    check_times,
    item_features,
    log_gaps,
)

NOW = 1_700_000_000


def activity_of(pairs, num_items=5):
    """Activity of (item, time) pairs, through a dataset in which every user trains on one interaction."""
    log = {
        "user_id": [f"u{number}" for number in range(len(pairs))],
        "item_id": [f"i{item}" for item, _ in pairs],
        "timestamp": [time for _, time in pairs],
    }
    ids = [f"i{item}" for item in range(num_items)]
    dataset = RecDataset.from_datasets(log, {"item_id": ids, "title": ids}, time_unit="s")
    return ItemActivity.from_split(dataset.split(), num_items)


times = st.integers(NOW - 500 * DAY, NOW + 20 * DAY)


@given(st.lists(st.tuples(st.integers(0, 4), times), min_size=1, max_size=40), times)
def test_counts_are_those_of_a_loop(pairs, time):
    activity = activity_of(pairs)
    # Rounded up to hours, an interaction is never counted before it took place, and at most an hour late.
    rounded = [(item, -(-moment // HOUR) * HOUR) for item, moment in pairs]
    for days in (None, *WINDOWS):
        start = -np.inf if days is None else time - days * DAY
        expected = [sum(each == item and start <= at < time for each, at in rounded) for item in range(5)]
        assert activity.counts(time, days).tolist() == expected
    late = [moment for item, moment in pairs if moment >= time]
    assert activity.counts(time).sum() <= len(pairs) - len(late)


@given(st.lists(st.tuples(st.integers(0, 4), times), min_size=1, max_size=30))
def test_features_are_those_of_their_definition(pairs):
    activity, features = activity_of(pairs), None
    features = item_features(activity, NOW)
    before = [(item, -(-at // HOUR) * HOUR) for item, at in pairs]
    before = [(item, at) for item, at in before if at < NOW]
    for item in range(5):
        own = [at for each, at in before if each == item]
        if not own:
            assert not features[item].any()
            continue
        share = len(own) / len(before)
        expected = [np.log(1 + sum(at >= NOW - days * DAY for at in own) / (PSEUDO_COUNTS * share)) for days in WINDOWS]
        age = max((NOW - min(own)) / DAY, 1)
        expected.append(max(np.log(NEW_DAYS / age), 0))
        np.testing.assert_allclose(features[item], expected, rtol=1e-4, atol=1e-5)


def test_an_interaction_after_the_request_does_not_matter():
    """It counts until it is moved from before the request to after it: then it is as if it had never been."""
    rest = [(0, NOW - 9 * DAY), (1, NOW - 3 * DAY), (1, NOW - 2 * DAY)]
    before, after, absent = (
        item_features(activity_of([*rest, *more]), NOW) for more in ([(0, NOW - DAY)], [(0, NOW + DAY)], [])
    )
    assert not np.array_equal(before, absent)
    np.testing.assert_array_equal(after, absent)
    # Strictly before: an interaction at the very second of the request does not count.
    np.testing.assert_array_equal(item_features(activity_of([*rest, (0, NOW)]), NOW), absent)


def made(activity, **numbers):
    rng = np.random.default_rng(0)
    weights, gap_weights = rng.normal(size=(2, len(FEATURES)))
    return TimeFeatures(activity, weights, gap_weights, **{"scale": 0.5, "gap_scale": 0.1, "gap_mean": 1.0, **numbers})


def test_bonus_is_that_of_its_formula():
    activity = activity_of([(0, NOW - 9 * DAY), (1, NOW - 3 * DAY), (1, NOW - 200 * DAY), (3, NOW - 40 * DAY)])
    features, gap_std = made(activity, gap_std=2.0), 2.0
    moments = np.array([[NOW, NOW - 5 * DAY], [NOW, -1], [NOW - 30 * DAY, NOW - 30 * DAY], [NOW, NOW]])
    bonus = features.bonus(moments).toarray()
    for row, (time, last) in enumerate(moments.tolist()):
        gap = 0.0 if last < 0 else (np.log1p((time - last) / DAY) - 1.0) / gap_std
        weights = (features.weights + gap * features.gap_weights) / (0.5 * np.exp(0.1 * gap))
        np.testing.assert_allclose(bonus[row], item_features(activity, time) @ weights, rtol=1e-4, atol=1e-5)
    assert not bonus[:, 2].any() and not bonus[:, 4].any()


def test_saved_and_loaded(tmp_path):
    features = made(activity_of([(0, NOW - DAY), (4, NOW - 9 * DAY)]), gap_std=3.0)
    features.save(tmp_path)
    loaded = TimeFeatures.load(tmp_path, features.settings(), 5)
    asked = np.array([[NOW, NOW - DAY], [NOW - 7 * DAY, -1]])
    np.testing.assert_allclose(loaded.bonus(asked).toarray(), features.bonus(asked).toarray(), rtol=1e-6)
    assert TimeFeatures.load(tmp_path, None, 5) is None
    settings = features.settings()
    settings["weights"]["last_3_days"] = settings["weights"].pop("last_7_days")
    with pytest.raises(ValueError, match="last_3_days"):
        TimeFeatures.load(tmp_path, settings, 5)


def test_another_catalogue_takes_its_items_with_it():
    activity = activity_of([(0, NOW - DAY), (4, NOW - 9 * DAY), (4, NOW - 2 * DAY), (2, NOW - 3 * DAY)])
    moved = activity.take(np.array([4, -1, 0]))
    assert moved.counts(NOW).tolist() == [2, 0, 1] and moved.counts(NOW, 7).tolist() == [1, 0, 1]
    asked = np.array([[NOW, NOW - DAY]])
    features = made(activity)
    expected, own = (each.bonus(asked).toarray()[0] for each in (features, features.take(np.array([4, -1, 0]))))
    assert own[1] == 0  # a new item
    # Shares of all interactions change with the items that leave.
    np.testing.assert_allclose(own, made(moved).bonus(asked).toarray()[0])
    assert expected[4] != 0


def test_times_of_requests():
    assert check_times(None, 2) is None
    np.testing.assert_array_equal(check_times(np.array([5, 6]), 2), [[5, -1], [6, -1]])
    np.testing.assert_array_equal(
        log_gaps(np.array([[10 * DAY, DAY], [DAY, 2 * DAY], [5, -1]])), [np.log(10), 0, np.nan]
    )
    for wrong in (np.zeros(2), np.zeros(3, dtype=int), np.zeros((2, 3), dtype=int)):
        with pytest.raises(ValueError, match=r"times must be integers \(2,\) or \(2, 2\)"):
            check_times(wrong, 2)
    with pytest.raises(ValueError, match="positions only"):
        log = {"user_id": ["a"] * 3, "item_id": ["x", "y", "z"], "position": [0, 1, 2]}
        ItemActivity.from_split(RecDataset.from_datasets(log, {"item_id": [*"xyz"], "title": [*"xyz"]}).split(), 3)


@pytest.mark.parametrize("strategy", ["leave_one_out", "temporal"])
def test_cases_have_the_times_of_their_targets(strategy):
    rng = np.random.default_rng(0)
    rows = [(f"u{user}", f"i{rng.integers(9)}", int(rng.integers(1e6)) + NOW) for user in range(40) for _ in range(6)]
    users, items, moments = zip(*rows, strict=True)
    log = {"user_id": list(users), "item_id": list(items), "timestamp": list(moments)}
    dataset = RecDataset.from_datasets(
        log, {"item_id": [f"i{row}" for row in range(9)], "title": [""] * 9}, time_unit="s"
    )
    split = dataset.split(strategy)
    for cases in (split.validation, split.test, split.test.sample(7)):
        for number, user in enumerate(cases.user_rows.tolist()):
            start, place = dataset.indptr[user], len(cases.histories[number])
            own = dataset.timestamps[start : dataset.indptr[user + 1]]
            assert cases.times[number] == own[place] and cases.last_times[number] == own[place - 1]
            assert cases.request_times[number].tolist() == [own[place], own[place - 1]]
    at = split.train_indptr
    for user in range(dataset.num_users):
        own = dataset.timestamps[dataset.indptr[user] :][: at[user + 1] - at[user]]
        np.testing.assert_array_equal(split.train_times[at[user] : at[user + 1]], own)
    cold = dataset.split(strategy, cold_items=0.3)
    for one, other, last in zip(cold.test.histories, split.test.histories, cold.test.last_times, strict=True):
        assert (last == -1) == (len(one) == 0 or one[-1] != other[-1] or cold.is_cold[other[-1]])
    assert len(cold.train_times) == len(cold.train_indices) < len(split.train_indices)
    assert len(cold.validation.times) == len(cold.validation)


def test_gaps_are_bounded_and_the_order_within_an_hour_is_that_of_the_catalogue():
    activity = activity_of([(0, NOW - DAY), (1, NOW - 2 * DAY)])
    features = made(activity, gap_mean=0.1, gap_std=0.01, gap_scale=-1.0)
    far = features.bonus(np.array([[NOW, NOW - 4000 * DAY]])).toarray()
    assert np.abs(far).max() < 1e4
    log = {"user_id": ["a"] * 5 + ["b"] * 5, "item_id": ["i4", "i2", "i3", "i0", "i0", "i1", "i4", "i0", "i0", "i0"]}
    log["timestamp"] = [NOW + place for place in range(10)]
    ids = [f"i{row}" for row in range(5)]
    listed = ItemActivity.from_split(
        RecDataset.from_datasets(log, {"item_id": ids, "title": ids}, time_unit="s").split(), 5
    )
    # Whose interactions these were cannot be told from the list.
    assert listed.items.tolist() == sorted(listed.items.tolist())
    assert activity.counts(10**18).tolist() == [1, 1, 0, 0, 0] and activity.counts(-(10**18)).sum() == 0
