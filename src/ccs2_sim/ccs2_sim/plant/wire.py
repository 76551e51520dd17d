"""What travels over the plant's socket: JSON objects, each behind its length.

Frame: four octets of length (big endian, of what follows), then one JSON object in UTF-8. There is
no number for infinity or "not measured" in JSON: both are null, and the field's meaning says which.

A client introduces itself with ``{"device": NAME}`` and is answered with ``{"ok": true}`` or
``{"error": TEXT}`` and a closed connection. Then it sends commands, and gets reports with a
``"stamp"`` (monotonic clock, s) at the device's period; :mod:`ccs2_sim.plant.devices` lists both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LENGTH_SIZE = 4
#: Longest object in octets.
MAXIMUM_LENGTH = 64 * 1024

SOCKET_VARIABLE = 'CCS2_PLANT_SOCKET'

Object = dict[str, Any]


class WireError(Exception):
    """The other side sent something that is no frame; the text says what."""


def default_socket() -> str:
    """Return where the plant listens unless told otherwise."""
    given = os.environ.get(SOCKET_VARIABLE)
    return given or str(Path('/tmp') / f'ccs2-{os.getuid()}' / 'plant.sock')


def encode(content: Mapping[str, Any]) -> bytes:
    """Return the frame of an object; raise ``ValueError`` for NaN, infinity or too much."""
    body = json.dumps(content, separators=(',', ':'), allow_nan=False).encode()
    if len(body) > MAXIMUM_LENGTH:
        raise ValueError(f'object of {len(body)} octets, at most {MAXIMUM_LENGTH}')
    return len(body).to_bytes(LENGTH_SIZE, 'big') + body


class Decoder:
    """Collects octets and gives whole objects."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Object]:
        """Take octets in any portions; return whole objects; raise :class:`WireError`."""
        self._buffer += data
        objects = []
        while len(self._buffer) >= LENGTH_SIZE:
            length = int.from_bytes(self._buffer[:LENGTH_SIZE], 'big')
            if length > MAXIMUM_LENGTH:
                raise WireError(f'frame of {length} octets, at most {MAXIMUM_LENGTH}')
            end = LENGTH_SIZE + length
            if len(self._buffer) < end:
                break
            objects.append(_object(bytes(self._buffer[LENGTH_SIZE:end])))
            del self._buffer[:end]
        return objects


def _object(body: bytes) -> Object:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WireError(f'not JSON: {error}') from None
    if not isinstance(content, dict):
        raise WireError(f'a JSON {type(content).__name__}, not an object')
    return content
