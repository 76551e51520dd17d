"""What really happened at the output: the simulated world's own state, read many times a second."""

import math
import socket
import threading
import time
from typing import NamedTuple

from ccs2_sim.plant.wire import Decoder, encode

PERIOD = 0.02


class Moment(NamedTuple):
    """The truth at one time of the monotonic clock."""

    time: float
    closed: bool
    """Any of the station's contactors is closed."""
    current: float
    voltage: float
    """At the connector."""
    supply_on: bool
    plugged: bool
    opened_under_load: int
    """How often the contactors have parted a current, since the world began."""


class PlantRecord:
    """Reads the state of the plant in a thread of its own."""

    def __init__(self, path):
        self._path = str(path)
        self._moments = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(5)

    @property
    def now(self):
        """The newest moment."""
        deadline = time.monotonic() + 5
        while not self._moments:
            assert time.monotonic() < deadline, 'no plant'
            time.sleep(PERIOD)
        return self._moments[-1]

    def since(self, start):
        return [moment for moment in self._moments if moment.time >= start]

    def _read(self):
        while not self._stop.is_set():
            try:
                with socket.socket(socket.AF_UNIX) as plant:
                    plant.connect(self._path)
                    plant.settimeout(2)
                    plant.sendall(encode({'device': 'control'}))
                    self._poll(plant)
            except (OSError, ConnectionError):
                self._stop.wait(0.1)

    def _poll(self, plant):
        decoder = Decoder()
        answers = []
        while not self._stop.is_set():
            plant.sendall(encode({}))
            while not any('state' in answer for answer in answers):
                data = plant.recv(65536)
                if not data:
                    raise ConnectionError
                answers += decoder.feed(data)
            self._moments.append(moment(answers[-1]['state']))
            answers.clear()
            self._stop.wait(PERIOD)


def moment(state):
    contactors = state['contactors']
    return Moment(
        time.monotonic(), any(contactors.values()), state['meter']['current'],
        state['voltmeter']['voltage'], state['supply']['on'], state['vehicle']['plugged'],
        state['opened_under_load'])


def first(moments, condition):
    """Return when a condition began to hold for good, inf if it does not hold at the end."""
    began = math.inf
    for entry in moments:
        if not condition(entry):
            began = math.inf
        elif began == math.inf:
            began = entry.time
    return began
