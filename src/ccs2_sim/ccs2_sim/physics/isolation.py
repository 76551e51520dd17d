"""An isolation monitoring device: it needs time to measure, and can be wrong about itself."""

from __future__ import annotations

import math
from enum import Enum

#: Above this the monitor shows "out of range", in ohm.
RANGE = 10e6
#: Time constant with which the monitor's value follows the resistance, in s.
RESPONSE = 0.08
#: A new value every this many s, the first one as long after the start.
PERIOD = 0.5
#: How long the self-test takes, in s.
SELF_TEST_TIME = 1.0


class SelfTestState(Enum):
    """Progress of the self-test."""

    NONE = 'none'
    RUNNING = 'running'
    PASSED = 'passed'
    FAILED = 'failed'


class IsolationMonitor:
    """Measures the resistance to earth while told to."""

    def __init__(self) -> None:
        self.measuring = False
        self.self_test = SelfTestState.NONE
        #: Newest value in ohm, infinite above the range; None without one.
        self.resistance: float | None = None
        #: Values measured so far.
        self.values = 0
        #: The self-test finds the monitor defective.
        self.defective = False
        self._conductance = 0.0
        self._until_value = 0.0
        self._until_tested = 0.0

    def command(self, measure: bool, self_test: bool) -> None:
        """Measure or not; a new self-test starts when it is asked for and none has run."""
        if measure and not self.measuring:
            self.self_test = SelfTestState.NONE
            self._until_value = PERIOD
            self._conductance = 0.0
        if not measure:
            self.resistance = None
            if self.self_test is SelfTestState.RUNNING:
                self.self_test = SelfTestState.NONE
        self.measuring = measure
        if measure and self_test and self.self_test is SelfTestState.NONE:
            self.self_test = SelfTestState.RUNNING
            self._until_tested = SELF_TEST_TIME
            self.resistance = None

    def step(self, resistance: float, duration: float) -> None:
        """Let `duration` s pass at a true resistance in ohm."""
        if not self.measuring:
            return
        if self.self_test is SelfTestState.RUNNING:
            self._until_tested -= duration
            if self._until_tested > 0:
                return
            self.self_test = SelfTestState.FAILED if self.defective else SelfTestState.PASSED
            self._until_value = PERIOD
        share = 1 - math.exp(-duration / RESPONSE)
        self._conductance += (1 / resistance - self._conductance) * share
        self._until_value -= duration
        if self._until_value > 0:
            return
        self._until_value += PERIOD
        shown = 1 / self._conductance if self._conductance > 0 else math.inf
        self.resistance = shown if shown <= RANGE else math.inf
        self.values += 1
