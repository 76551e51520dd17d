"""The relays of a cabinet on GPIO lines."""

from __future__ import annotations

import time

from ccs2_power.gpio.drivers import GpioDriver
from ccs2_power.gpio.lines import Line, Lines
from ccs2_power.hal import (
    MATRIX_OPEN,
    MATRIX_TIMEOUT,
    DriverError,
    MatrixCommand,
    MatrixReading,
)
from ccs2_power.options import Options


class GpioMatrix(GpioDriver):
    """Relays with mirror contacts between modules and connectors.

    Options: ``chip`` (``/dev/gpiochip0``), ``relays`` (``module_1/connector_1:17:22``, by commas:
    module, connector, line of the coil, line of the mirror contact, active = the mirror contact is
    closed = the relay is open), ``watchdog`` (line that changes its level every 10 ms for as long
    as commands are heard).

    The kernel may leave an output as it was when a process dies: the coil supply has to drop
    without the watchdog's edges, but no earlier than the contactors do.
    """

    NAME = 'matrix'
    OPTIONS = ('relays', 'watchdog')

    def __init__(self) -> None:
        super().__init__()
        self._relays: dict[str, list[str]] = {}
        self._kick = False
        self._command = MATRIX_OPEN
        self._told = float('-inf')
        self._reading = MatrixReading({})

    def read(self) -> MatrixReading:
        """Return the newest feedback."""
        return self._reading

    def command(self, command: MatrixCommand) -> None:
        """Switch the coils; a change is carried out at once."""
        if self._lines is None:
            return
        changed = command != self._command
        self._command, self._told = command, time.monotonic()
        if changed:
            self._worker.wake()

    def _wiring(self, options: Options) -> tuple[dict[str, Line], dict[str, Line]]:
        inputs: dict[str, Line] = {}
        outputs: dict[str, Line] = {}
        self._relays = {}
        for part in options.text('relays').split(','):
            relay, *lines = part.split(':')
            module, separator, connector = relay.partition('/')
            if not (module and separator and connector and len(lines) == 2) or relay in inputs:
                raise DriverError(f"option 'relays': {part!r} is not "
                                  'MODULE/CONNECTOR:COIL:FEEDBACK of a new relay')
            outputs[relay], inputs[relay] = map(Line.parse, lines)
            self._relays.setdefault(module, []).append(connector)
        outputs['watchdog'] = Line.parse(options.text('watchdog'))
        return inputs, outputs

    def _forget(self) -> None:
        self._command, self._told = MATRIX_OPEN, float('-inf')
        self._reading = MatrixReading({module: dict.fromkeys(connectors)
                                       for module, connectors in self._relays.items()})

    def _work(self, lines: Lines) -> None:
        heard = time.monotonic() - self._told <= MATRIX_TIMEOUT
        coils = self._command.coils if heard else MATRIX_OPEN.coils
        if heard:
            self._kick = not self._kick
        outputs = {f'{module}/{connector}': coils.get(module) == connector
                   for module, connectors in self._relays.items() for connector in connectors}
        lines.write({**outputs, 'watchdog': self._kick})
        mirrors, stamp = lines.read(), time.monotonic()
        self._reading = MatrixReading({
            module: {connector: self._measured(not mirrors[f'{module}/{connector}'], stamp)
                     for connector in connectors}
            for module, connectors in self._relays.items()})
