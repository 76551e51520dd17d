"""An emulated GPIO chip behind the calls of gpiod that the drivers use, with relays wired to it."""

import time

from gpiod.line import Direction, Value

#: The coil supply drops so long after the last edge of the watchdog line, in s.
WATCHDOG = 0.1


class Board:
    """One chip; `wire` computes a physical input level from the outputs."""

    def __init__(self):
        self.present = True
        self.settings = {}
        self.levels = {}
        self.edges = {}
        self.history = []
        self.inputs = {}
        self.released = 0

    def wire(self, line, level):
        self.inputs[line] = level

    def high(self, line):
        return self.levels.get(line, False)

    def kicked(self, line):
        return time.monotonic() - self.edges.get(line, float('-inf')) < WATCHDOG

    def request_lines(self, path, config, consumer=None, event_buffer_size=None,
                      output_values=None):
        if not self.present or path != '/dev/gpiochip7':
            raise FileNotFoundError(2, 'No such file or directory', path)
        self.settings = dict(config)
        request = Request(self)
        for line, settings in config.items():
            if settings.direction is Direction.OUTPUT:
                request.set_value(line, settings.output_value)
            elif line not in self.inputs:
                raise ValueError(f'unknown line {line}')
        return request


class Request:
    def __init__(self, board):
        self.board = board

    def _lost(self):
        if not self.board.present:
            raise OSError(19, 'No such device')

    def get_values(self, lines=None):
        self._lost()
        return [Value.ACTIVE if self.board.inputs[line]() is not
                self.board.settings[line].active_low else Value.INACTIVE for line in lines]

    def set_value(self, line, value):
        self.set_values({line: value})

    def set_values(self, values):
        self._lost()
        for line, value in values.items():
            high = (value is Value.ACTIVE) is not self.board.settings[line].active_low
            if self.board.levels.get(line) is not high:
                self.board.edges[line] = time.monotonic()
                self.board.history.append((line, high))
            self.board.levels[line] = high

    def release(self):
        self.board.released += 1


def wired():
    """Return a board with two contactors, their relay, a lock and an emergency stop circuit.

    Coils 17 and 27 with mirrors 22 and FB_MINUS (active low), relay 5 with mirror 6, watchdog 4;
    motor bridge 1 and 2 with feedback 3; ESTOP follows `closed_circuit`.
    """
    board = Board()
    board.closed_circuit = True

    def mirror(coil):
        return lambda: not (board.high(coil) and board.kicked(4))

    bolt = [False]

    def locked():
        if board.high(1) is not board.high(2):
            bolt[0] = board.high(1)
        return bolt[0]

    board.wire(22, mirror(17))
    board.wire('FB_MINUS', lambda: not mirror(27)())
    board.wire(6, mirror(5))
    board.wire(3, locked)
    board.wire('ESTOP', lambda: board.closed_circuit)
    return board


def matrix():
    """Return a board with two modules that reach left and right, and the driver's options.

    Coils 11, 12 (module_1), 13, 14 (module_2) with mirrors 21 to 24, watchdog 4.
    """
    board, relays = Board(), []
    places = [(module, connector) for module in (1, 2) for connector in ('left', 'right')]
    for number, (module, connector) in enumerate(places, 1):
        board.wire(20 + number, lambda coil=10 + number: not (
            board.high(coil) and board.kicked(4)))
        relays.append(f'module_{module}/{connector}:{10 + number}:{20 + number}')
    return board, {'chip': '/dev/gpiochip7', 'relays': ','.join(relays), 'watchdog': '4'}
