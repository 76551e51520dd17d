"""The devices of a node: parameters that choose their drivers, opening and closing them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from ccs2_node import ConfigureError, ManagedNode
from ccs2_power.drivers import load_driver, parse_options
from ccs2_power.hal import DriverError

S = TypeVar('S')


@dataclass(frozen=True, slots=True)
class Device:
    """One row of a node's table of devices."""

    protocol: type[Any]
    """One of the driver protocols of :mod:`ccs2_power.hal`."""
    required: bool
    description: str


class Devices:
    """The drivers of one node, by the name of the device."""

    def __init__(self, node: ManagedNode, table: Mapping[str, Device]) -> None:
        self._node = node
        self._table = table
        self._drivers: dict[str, Any] = {}
        for name, device in table.items():
            node.parameter(
                f'{name}_driver', str if device.required else '',
                f'Driver of the {device.description}'
                + ('.' if device.required else '; empty: there is none.'))
            node.parameter(f'{name}_options', [''], f'Options of {name}_driver, each key=value.')

    def __getitem__(self, name: str) -> Any:
        return self._drivers[name]

    def __contains__(self, name: str) -> bool:
        return name in self._drivers

    @property
    def problems(self) -> dict[str, str]:
        """What the drivers complain of now, by device."""
        return {name: driver.problem for name, driver in self._drivers.items()}

    async def open(self) -> None:
        """Open all drivers; if one fails, close them again and raise :class:`ConfigureError`."""
        try:
            for name, device in self._table.items():
                await self._open(name, device)
        except Exception:
            await self.close()
            raise

    async def _open(self, name: str, device: Device) -> None:
        chosen = self._node.value(f'{name}_driver')
        if not chosen and not device.required:
            return
        try:
            driver = load_driver(chosen, device.protocol)
            await driver.open(parse_options(self._node.value(f'{name}_options')))
        except DriverError as error:
            raise ConfigureError(f'{name}: {error}') from None
        self._drivers[name] = driver

    async def close(self) -> None:
        """Close all drivers: each leaves its device in the safe state."""
        while self._drivers:
            _, driver = self._drivers.popitem()
            await driver.close()


def declare_settings(node: ManagedNode, settings: type[Any]) -> None:
    """Declare the fields of a settings dataclass as parameters."""
    for field in fields(settings):
        meta = field.metadata
        node.parameter(field.name, meta['default'], meta['description'],
                       minimum=meta['minimum'], maximum=meta['maximum'])


def read_settings(node: ManagedNode, settings: Callable[..., S]) -> S:
    """Return the settings as the site has set them; raise :class:`ConfigureError` if wrong."""
    try:
        return settings(**{field.name: node.value(field.name)
                           for field in fields(settings)})  # type: ignore[arg-type]
    except ValueError as error:
        raise ConfigureError(str(error)) from None
