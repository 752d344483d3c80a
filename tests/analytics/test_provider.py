"""The provider holds two counts and makes the message of them; it can count nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.analytics.conftest import PATIENT
from thv.analytics.constants import ENDPOINT
from thv.analytics.otlp import LARGEST_COUNT, Counts, encode
from thv.analytics.provider import AnalyticsMeterProvider

NOW = 1_790_000_000_000_000_000

steps = st.lists(st.sampled_from(["success", "error", "collect", "keep", "forget"]), max_size=60)


def counting(successes: int, errors: int) -> AnalyticsMeterProvider:
    provider = AnalyticsMeterProvider()
    for _ in range(successes):
        provider.record(["success"])
    for _ in range(errors):
        provider.record(["error"])
    return provider


def test_each_collection_holds_what_is_new_since_the_last() -> None:
    provider = counting(2, 0)
    assert provider.has_news()
    assert provider.collect() == Counts(2, 0)
    assert not provider.has_news()
    assert provider.collect() == Counts()
    provider.record(["error"])
    assert provider.collect() == Counts(0, 1)


def test_what_was_kept_comes_once_with_the_next_collection() -> None:
    provider = counting(1, 2)
    provider.keep(provider.collect())
    assert provider.has_kept()
    assert not provider.has_news()
    provider.record(["success"])
    assert provider.collect() == Counts(2, 2)
    assert not provider.has_kept()
    assert provider.collect() == Counts()


def test_what_is_forgotten_never_comes_back() -> None:
    provider = counting(1, 2)
    provider.keep(provider.collect())
    provider.record(["success"])
    provider.forget()
    assert not provider.has_news()
    assert not provider.has_kept()
    assert provider.collect() == Counts()
    provider.record(["error"])
    assert provider.collect() == Counts(0, 1)


@PATIENT
@given(steps)
def test_every_outcome_is_collected_once_or_forgotten(taken: list[str]) -> None:
    provider = AnalyticsMeterProvider()
    waiting, collected = [0, 0], Counts()
    for step in taken:
        if step == "success":
            provider.record(["success"])
            waiting[0] += 1
        elif step == "error":
            provider.record(["error"])
            waiting[1] += 1
        elif step == "forget":
            provider.forget()
            waiting = [0, 0]
        else:
            collected = provider.collect()
            assert collected == Counts(*waiting)
            if step == "keep":
                provider.keep(collected)
            else:
                waiting = [0, 0]
    assert provider.collect() == Counts(*waiting)


def test_the_message_is_the_encoded_counts_and_names_the_endpoint() -> None:
    request = AnalyticsMeterProvider.message(Counts(3, 1), endpoint=ENDPOINT, now_ns=NOW)
    assert request.body == encode(Counts(3, 1), NOW)
    assert request.url == ENDPOINT


def test_sums_stay_within_what_the_wire_can_hold() -> None:
    provider = counting(1, 1)
    provider.keep(Counts(LARGEST_COUNT, 0))
    assert provider.collect() == Counts(LARGEST_COUNT, 1)


def test_nothing_but_two_counts_can_be_kept_in_it() -> None:
    provider = AnalyticsMeterProvider()
    assert not hasattr(provider, "__dict__")
    assert set(AnalyticsMeterProvider.__slots__) == {"_collected", "_errors", "_kept", "_successes"}
