"""What the demo keeps of a session: every message, the curve of the charge, a summary."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from ccs2_interfaces.msg import V2GTrace

JOULES_PER_KWH = 3.6e6
#: A point of the curve is kept this often, in s.
SAMPLE_PERIOD = 0.1
DIRECTIONS = {V2GTrace.DIRECTION_REQUEST: 'request', V2GTrace.DIRECTION_RESPONSE: 'response'}


class Sample(NamedTuple):
    """One point of the charging curve; NaN is not measured."""

    time: float
    """s since the recording began."""
    voltage: float
    current: float
    power: float
    state_of_charge: float


class TraceFile:
    """Writes each message as one line of JSON, and counts those that were missed."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open('w')
        self.messages = 0
        self.missed = 0
        self._previous: tuple[int, int, int] | None = None

    def add(self, trace: V2GTrace) -> None:
        """Write one message."""
        self.messages += 1
        self._count_missed(trace)
        self._file.write(json.dumps({
            'time': trace.stamp.sec + trace.stamp.nanosec / 1e9,
            'connection': trace.connection_id,
            'sequence': trace.sequence,
            'direction': DIRECTIONS.get(trace.direction, str(trace.direction)),
            'payload_type': f'0x{trace.payload_type:04x}',
            'schema': trace.schema,
            'message': trace.message,
            'response_code': trace.response_code or None,
            'processing_time': None if math.isnan(trace.processing_time)
            else trace.processing_time,
            'error': trace.error or None,
            'exi': bytes(trace.exi).hex(),
            'decoded': json.loads(trace.json) if trace.json else None,
        }) + '\n')

    def _count_missed(self, trace: V2GTrace) -> None:
        # Requests of a connection count up by one, and each is followed by its response.
        place = (trace.connection_id, trace.sequence, trace.direction)
        if self._previous is not None and self._previous[0] == place[0]:
            index, before = (2 * sequence + (direction == V2GTrace.DIRECTION_RESPONSE)
                             for _, sequence, direction in (place, self._previous))
            self.missed += max(0, index - before - 1)
        self._previous = place

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


@dataclass
class Recorder:
    """Takes the connector's messages (:attr:`station.connector.Connector.hooks`)."""

    trace: TraceFile
    samples: list[Sample] = field(default_factory=list)
    stages: list[tuple[float, int]] = field(default_factory=list)
    """Stage of the session and when it began, in s since the recording began."""
    begin: float | None = None
    """Stamp of the first power status, s."""
    _state_of_charge: float = math.nan

    def __call__(self, topic: str, message: Any) -> None:
        """Keep what is worth keeping."""
        if topic == 'v2g/trace':
            self.trace.add(message)
        elif topic == 'ev':
            self._state_of_charge = message.state_of_charge
        elif topic == 'session' and self.begin is not None:
            if not self.stages or self.stages[-1][1] != message.stage:
                self.stages.append((_seconds(message.header.stamp) - self.begin, message.stage))
        elif topic == 'power/status':
            self._sample(message)

    def _sample(self, status: Any) -> None:
        now = _seconds(status.header.stamp)
        if self.begin is None:
            self.begin = now
        elapsed = now - self.begin
        if not self.samples or elapsed - self.samples[-1].time >= SAMPLE_PERIOD:
            self.samples.append(Sample(
                elapsed, status.voltage, status.current, status.power, self._state_of_charge))


def _seconds(stamp: Any) -> float:
    return float(stamp.sec) + float(stamp.nanosec) / 1e9


def plot(samples: Sequence[Sample], path: Path, title: str) -> None:
    """Draw voltage, current, power and state of charge over time."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot

    curves = (
        ('voltage [V]', [sample.voltage for sample in samples], '#1f77b4'),
        ('current [A]', [sample.current for sample in samples], '#d62728'),
        ('power [kW]', [sample.power / 1000 for sample in samples], '#9467bd'),
        ('state of charge [%]', [100 * sample.state_of_charge for sample in samples], '#2ca02c'),
    )
    times = [sample.time for sample in samples]
    figure, axes = pyplot.subplots(len(curves), 1, sharex=True, figsize=(9, 8))
    for axis, (label, values, color) in zip(axes, curves, strict=True):
        axis.plot(times, values, color=color, linewidth=1.5)
        axis.set_ylabel(label)
        # Below zero energy flows out of the car.
        axis.set_ylim(bottom=min(0.0, *(1.1 * value for value in values if value < -1.0), 0.0))
        axis.grid(alpha=0.3)
    axes[0].set_title(title)
    axes[-1].set_xlabel('time [s]')
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
