"""GPIO lines by libgpiod 2: the only module that calls it, and only when it opens.

A line is written as its name or its number on the chip, with ``!`` in front when it is active low.
Inputs are pulled towards *inactive*: a broken wire reads inactive, whatever the polarity.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ccs2_power.hal import DriverError


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chip."""

    identity: int | str
    """Number or name."""
    active_low: bool = False

    @classmethod
    def parse(cls, text: str) -> Line:
        """Read ``17``, ``!17`` or ``K1_COIL``; raise :class:`DriverError` if there is no line."""
        name = text.removeprefix('!')
        if not name:
            raise DriverError(f'{text!r} names no GPIO line')
        return cls(int(name) if name.isdecimal() else name, text.startswith('!'))


def parse_lines(text: str) -> tuple[Line, ...]:
    """Read lines separated by commas."""
    return tuple(Line.parse(part) for part in text.split(','))


class Lines:
    """Inputs and outputs of one chip, by the name of what is wired to them."""

    def __init__(
        self, chip: str, consumer: str, inputs: Mapping[str, Line], outputs: Mapping[str, Line],
    ) -> None:
        every = [line.identity for line in (*inputs.values(), *outputs.values())]
        for identity in every:
            if every.count(identity) > 1:
                raise DriverError(f'GPIO line {identity} is used twice')
        self._chip, self._consumer = chip, consumer
        self._inputs, self._outputs = inputs, outputs
        self._request: Any = None

    def open(self) -> None:
        """Take the lines, all outputs inactive; raise :class:`DriverError` if one is not there."""
        try:
            import gpiod
            from gpiod.line import Bias, Direction, Value
        except ImportError as error:
            raise DriverError(f'GPIO needs the Python package gpiod, version 2: {error}') from None
        settings = {
            line.identity: gpiod.LineSettings(
                direction=Direction.INPUT, active_low=line.active_low,
                bias=Bias.PULL_UP if line.active_low else Bias.PULL_DOWN)
            for line in self._inputs.values()
        } | {
            line.identity: gpiod.LineSettings(
                direction=Direction.OUTPUT, active_low=line.active_low,
                output_value=Value.INACTIVE)
            for line in self._outputs.values()
        }
        try:
            self._request = gpiod.request_lines(
                self._chip, config=settings, consumer=self._consumer)
        except (OSError, ValueError) as error:
            raise DriverError(f'GPIO chip {self._chip}: {error}') from None

    def reopen(self) -> None:
        """Take the lines anew after they were lost, all outputs inactive; raise OSError."""
        self.close()
        try:
            self.open()
        except DriverError as error:
            raise OSError(str(error)) from None

    def read(self) -> dict[str, bool]:
        """Return which inputs are active; raise OSError if the chip has gone."""
        from gpiod.line import Value

        values = self._request.get_values([line.identity for line in self._inputs.values()])
        return {name: value is Value.ACTIVE
                for name, value in zip(self._inputs, values, strict=True)}

    def write(self, values: Mapping[str, bool]) -> None:
        """Set outputs active or inactive; raise OSError if the chip has gone."""
        from gpiod.line import Value

        self._request.set_values({
            self._outputs[name].identity: Value.ACTIVE if active else Value.INACTIVE
            for name, active in values.items()})

    def close(self) -> None:
        """Set all outputs inactive and give the lines back."""
        if self._request is None:
            return
        request, self._request = self._request, None
        from gpiod.line import Value

        with contextlib.suppress(OSError):  # the chip has gone, and its outputs with it
            request.set_values({
                line.identity: Value.INACTIVE for line in self._outputs.values()})
        request.release()
