"""What is certain about a request that was sent. Data only; opens nothing."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class DeliveryStatus(Enum):
    """Whether the endpoint took the counts. Only `NOT_TAKEN` counts may be sent again."""

    TAKEN = "taken"
    NOT_TAKEN = "not taken"
    UNKNOWN = "unknown"


class ReportDelivery(NamedTuple):
    """The status of one request, and why, in words for a person."""

    status: DeliveryStatus
    reason: str
