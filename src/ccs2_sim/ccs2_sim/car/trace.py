"""Every message of a session as it was on the wire, and how long each response took."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ccs2_hlc import exi
from ccs2_hlc.exi.declare import Element

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One message."""

    time: float
    """s since the Unix epoch: request written, response complete."""
    direction: str
    """``'request'`` or ``'response'``."""
    step: str
    """What the car was about."""
    payload_type: int
    schema: str
    name: str
    """Name of the message, '' if it could not be decoded."""
    exi: bytes
    """As on the wire."""
    message: Element | None
    latency: float | None = None
    """s from the request written to this response complete; None for requests."""
    error: str = ''
    """Why it could not be decoded, or what the car did to it."""

    def to_json(self) -> Json:
        """Return the line of the trace file."""
        return {
            'time': self.time, 'direction': self.direction, 'step': self.step,
            'payload_type': self.payload_type, 'schema': self.schema, 'message': self.name,
            'exi': self.exi.hex(), 'latency': self.latency, 'error': self.error,
            'json': exi.to_json(self.message) if self.message is not None else None,
        }


def message_name(message: Element | None) -> str:
    """Return a message's name: that of its body if it has one."""
    body = getattr(message, 'body', None) or message
    return '' if body is None else type(body).__name__


class Trace:
    """The messages of one session in order."""

    def __init__(self, now: float) -> None:
        self.entries: list[Entry] = []
        self._epoch = time.time() - now

    def add(
        self, now: float, direction: str, step: str, payload_type: int, schema: str,
        payload: bytes, message: Element | None, latency: float | None = None, error: str = '',
    ) -> None:
        """Note a message that passed at `now` on the loop's clock."""
        self.entries.append(Entry(
            self._epoch + now, direction, step, payload_type, schema, message_name(message),
            payload, message, latency, error))

    def latencies(self) -> dict[str, list[float]]:
        """Return the response times in s by name of the response."""
        found: dict[str, list[float]] = {}
        for entry in self.entries:
            if entry.latency is not None:
                found.setdefault(entry.name, []).append(entry.latency)
        return found

    def write(self, path: str | Path) -> None:
        """Write one JSON object per message to a file."""
        with Path(path).open('w', encoding='utf-8') as file:
            for entry in self.entries:
                file.write(json.dumps(entry.to_json(), separators=(',', ':')) + '\n')


def summarize(latencies: dict[str, list[float]]) -> dict[str, Json]:
    """Return count, median, 99th percentile and maximum in s by name."""
    return {
        name: {
            'count': len(values), 'p50': _quantile(values, 0.50), 'p99': _quantile(values, 0.99),
            'max': max(values),
        } for name, values in latencies.items() if values}


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
