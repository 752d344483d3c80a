"""Which request of many is meant, and which is forgotten: the oldest, as in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thv.core.message import Message, read_message
from thv.supervision import supervised_requests
from thv.supervision.supervised_requests import SupervisedRequest, SupervisedRequests

if TYPE_CHECKING:
    from collections.abc import Callable


def request(id_: int) -> SupervisedRequest:
    """A call that the server was sent."""
    line = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"x"}}' % id_
    message = read_message(line)
    assert message is not None
    made = SupervisedRequest(line, message)
    made.is_sent = True
    return made


def reply(id_: int) -> Message:
    return Message(id=id_)


def test_of_too_many_requests_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervised_requests, "MAX_OPEN", 2)
    requests, added = SupervisedRequests(), [request(id_) for id_ in (1, 2, 3)]
    for each in added:
        requests.add(each)
    assert requests.oldest_first() == added[1:]


def test_of_too_many_calls_that_were_given_up_the_first_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervised_requests, "MAX_GIVEN_UP", 2)
    requests = SupervisedRequests()
    for id_ in (1, 2, 3):
        requests.give_up(request(id_))
    assert [requests.take_late(reply(id_)) for id_ in (1, 2, 3)] == [False, True, True]


def cancel(requests: SupervisedRequests) -> None:
    requests.cancel(1)


def answer(requests: SupervisedRequests) -> None:
    answered = requests.answered_by(reply(1))
    assert answered is not None
    requests.close(answered)


@pytest.mark.parametrize("take", [answer, cancel, SupervisedRequests.forget_oldest_call])
def test_of_two_requests_with_one_id_the_older_is_meant(take: Callable[[SupervisedRequests], None]) -> None:
    requests, added = SupervisedRequests(), [request(1), request(1)]
    for each in added:
        requests.add(each)
    take(requests)
    assert requests.oldest_first() == added[1:]
    take(requests)
    assert requests.oldest_first() == []


def test_of_two_calls_the_older_is_meant_by_a_reply_that_cannot_be_read() -> None:
    requests, added = SupervisedRequests(), [request(1), request(2)]
    for each in added:
        requests.add(each)
    requests.forget_oldest_call()
    assert requests.oldest_first() == added[1:]
