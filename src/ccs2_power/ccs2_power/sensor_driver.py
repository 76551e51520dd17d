"""What the drivers share that only measure, by system calls that may wait."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from ccs2_power.hal import DriverError
from ccs2_power.options import Options
from ccs2_power.worker import Worker

R = TypeVar('R')


def within(value: float, low: float, high: float) -> float | None:
    """Return a value that can be, None for one that only a broken wire or a short makes."""
    return value if low <= value <= high else None


def parse_contacts(text: str) -> dict[str, str]:
    """Read ``DC+:PLACE,DC-:PLACE``; raise :class:`DriverError` if it is none."""
    places: dict[str, str] = {}
    for part in text.split(','):
        contact, separator, place = part.partition(':')
        if not (separator and contact and place) or contact in places:
            raise DriverError(f"option 'contacts': {part!r} is not CONTACT:PLACE "
                              'with a new contact')
        places[contact] = place
    return places


class SensorDriver(Generic[R]):
    """A driver around one function that measures; a thread of its own calls it again and again."""

    NAME: str
    OPTIONS: tuple[str, ...]
    #: How often it is measured, in s.
    PERIOD: float
    #: What is read while nothing is measured.
    NOTHING: R

    def __init__(self) -> None:
        self._measure: Callable[[], R] | None = None
        self._reading = self.NOTHING
        self._worker = Worker(self.NAME, self._step, self._forget, self.PERIOD)

    @property
    def problem(self) -> str:
        """What is wrong with the device now."""
        return 'not open' if self._measure is None else self._worker.problem

    async def open(self, parameters: Mapping[str, str]) -> None:
        """Measure once, and then again and again."""
        measure = self._prepare(Options(parameters, self.OPTIONS))
        try:
            self._reading = await asyncio.to_thread(measure)
        except OSError as error:
            self._release()
            raise DriverError(f'{self.NAME}: {error}') from None
        self._measure = measure
        self._worker.start()

    async def close(self) -> None:
        """Measure no more."""
        self._worker.stop()
        self._measure = None
        self._forget()
        self._release()

    def read(self) -> R:
        """Return the newest measurements."""
        return self._reading

    @abstractmethod
    def _prepare(self, options: Options) -> Callable[[], R]:
        """Return the function that measures once and raises :class:`OSError` if it cannot."""

    def _release(self) -> None:
        """Give back what :meth:`_prepare` has taken."""

    def _forget(self) -> None:
        self._reading = self.NOTHING

    def _step(self) -> None:
        if self._measure is not None:
            self._reading = self._measure()
