"""The modem drivers on what stands in for the hardware, and on the kernel where that is allowed."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import types
from pathlib import Path

import pytest

from ccs2_link import plc_link_drivers
from ccs2_link.homeplug import messages as mme
from ccs2_link.homeplug.frame import decode, encode
from ccs2_link.homeplug.messages import MAX_CARRIERS
from ccs2_link.homeplug.vendor import VsRsDevReq
from ccs2_link.link_runner import LinkRunner
from ccs2_link.modem import spi
from ccs2_link.modem.bridge import Bridge
from ccs2_link.modem.contract import ModemError
from ccs2_link.modem.direct import DirectModem
from ccs2_link.modem.packet import PacketModem
from ccs2_link.modem.spi import GpioInterrupt, SpidevBus, load_spidev
from ccs2_link.modem.tap import Tap
from ccs2_link.modem.virtual import VirtualModem
from ccs2_link.slac.contract import (
    DataLink,
    LinkState,
    Pilot,
    PilotState,
    PilotWish,
    WishKind,
)
from ccs2_link.slac.direct import DirectLink

MAC, CAR = bytes.fromhex('020000000001'), bytes.fromhex('020000000002')
IPV6 = b'\x86\xdd'
SLAC = encode(MAC, CAR, mme.CmSlacParmReq(run_id=bytes(8)))


def frame(ethertype, source=CAR, destination=MAC):
    return (destination + source + ethertype).ljust(60, b'\0')


async def until(condition, seconds=5.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (drivers have no event for everything)
            await asyncio.sleep(0.01)


class Kernel:
    """The kernel's end of an interface, for one test."""

    def __init__(self):
        self.taken, self.offered, self.up = [], [], []

    def open(self):
        pass

    def close(self):
        pass

    def fileno(self):
        return 99

    def read(self):
        return self.offered.pop(0) if self.offered else None

    def write(self, octets):
        self.taken.append(octets)
        return True

    def set_up(self, up):
        self.up.append(up)


class Driver:
    """What a bridge needs of its driver."""

    def __init__(self):
        self.callback = None

    def read_with(self, descriptor, callback):
        self.callback = callback

    def stop_reading(self, descriptor):
        self.callback = None


@pytest.fixture
def parts():
    kernel, driver, management, data = Kernel(), Driver(), [], []
    driver.busy = False
    bridge = Bridge(MAC, kernel, management.append, data.append, lambda: driver.busy, driver)
    return types.SimpleNamespace(
        kernel=kernel, driver=driver, management=management, data=data, bridge=bridge)


def test_only_management_passes_while_not_matched(parts):
    for octets in (SLAC, frame(IPV6), frame(b'\x08\x00'), frame(b'\x08\x06'), frame(b'\x81\x00')):
        parts.bridge.from_line(octets)
    assert parts.management == [SLAC]
    assert parts.kernel.taken == []
    assert parts.driver.callback is None
    assert parts.bridge.counters() == {
        'frames of the line dropped, not matched': 1,
        'frames of the line dropped, other protocol': 3,
    }


def test_only_ipv6_passes_to_and_from_the_kernel_while_matched(parts):
    parts.bridge.set_link(True)
    for octets in (frame(IPV6), frame(b'\x08\x00')):
        parts.bridge.from_line(octets)
    assert parts.kernel.taken == [frame(IPV6)]
    own = frame(IPV6, MAC, CAR)
    parts.kernel.offered = [own, frame(b'\x08\x00', MAC, CAR), SLAC, frame(IPV6, CAR, MAC)]
    parts.driver.callback()
    assert parts.data == [own]
    parts.bridge.set_link(False)
    assert parts.kernel.up == [True, False]
    assert parts.driver.callback is None


def test_the_kernel_is_not_read_while_the_modem_is_busy(parts):
    parts.bridge.set_link(True)
    parts.driver.busy = True
    parts.kernel.offered = [frame(IPV6, MAC, CAR)]
    parts.driver.callback()
    assert parts.data == []
    assert parts.driver.callback is None
    parts.driver.busy = False
    parts.bridge.resume()
    parts.driver.callback()
    assert len(parts.data) == 1


def test_direct_modem_names_a_missing_interface():
    with pytest.raises(ModemError, match="'nowhere0' does not exist"):
        asyncio.run(DirectModem('nowhere0').open())


def test_direct_link_follows_the_pilot():
    async def scenario():
        modem = DirectModem('lo')
        link = LinkRunner(modem, on_change=lambda: None, on_reset=lambda why: None,
                          on_failure=pytest.fail)
        await link.open(lambda mac: DirectLink())
        await until(lambda: link.status.state is LinkState.UNMATCHED)
        for state, digital, expected in (
                ('B', True, LinkState.MATCHED), ('C', True, LinkState.MATCHED),
                ('C', False, LinkState.UNMATCHED), ('D', True, LinkState.MATCHED),
                ('E', True, LinkState.UNMATCHED), ('A', False, LinkState.UNMATCHED)):
            link.pilot(Pilot(PilotState[state], digital))
            assert link.status.state is expected
        link.reset('test')
        assert link.status.state is LinkState.UNAVAILABLE
        await until(lambda: link.status.state is LinkState.UNMATCHED)
        await link.close()

    asyncio.run(scenario())


def test_direct_link_wishes_for_a_step_after_an_error():
    link = DirectLink()
    link.modem(0.0, True)
    link.pilot(1.0, Pilot(PilotState.B, True))
    link.data_link(2.0, DataLink.TERMINATE)
    assert link.status().pilot_wish.kind is WishKind.NONE
    link.pilot(3.0, Pilot(PilotState.B, False))
    link.pilot(4.0, Pilot(PilotState.B, True))
    link.data_link(5.0, DataLink.ERROR)
    assert link.status().pilot_wish == PilotWish(WishKind.STEP, 1)
    assert link.status().state is LinkState.UNMATCHED
    link.pilot(6.0, Pilot(PilotState.B, False))
    assert link.status().pilot_wish.kind is WishKind.STEP
    link.pilot(9.0, Pilot(PilotState.F, False))
    assert link.status().pilot_wish.kind is WishKind.NONE
    link.pilot(13.0, Pilot(PilotState.B, True))
    assert link.status().state is LinkState.MATCHED


def test_virtual_modem_connects_loses_and_finds_the_line(tmp_path):
    path = str(tmp_path / 'line')

    def listen():
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(path)
        listener.listen(1)
        return listener

    async def scenario():
        modem = VirtualModem(path, MAC, 'lo', None)
        ready, frames = [], []
        await modem.open()
        modem.on_ready, modem.on_frame = ready.append, frames.append
        await asyncio.sleep(0.3)
        assert ready == []
        listener = listen()
        await until(lambda: ready == [True])
        line, _ = listener.accept()
        line.send(SLAC)
        line.send(frame(IPV6))
        await until(lambda: frames)
        assert frames == [SLAC]
        modem.send(SLAC)
        assert line.recv(2000) == SLAC
        modem.reset()
        assert isinstance(decode(line.recv(2000)).message, VsRsDevReq)
        assert ready == [True, False]
        await until(lambda: ready == [True, False, True])
        line.close()
        listener.close()
        os.unlink(path)
        await until(lambda: ready[-1] is False)
        modem.send(SLAC)
        assert modem.counters()['frames dropped, line did not take them'] == 1
        listener = listen()
        await until(lambda: ready[-1] is True)
        await modem.close()
        listener.close()

    asyncio.run(scenario())


def test_failures_of_a_driver_are_reported():
    async def scenario():
        failures = []
        modem = DirectModem('lo')
        await modem.open()
        modem.on_failure = failures.append
        modem.on_ready = lambda ready: 1 / 0
        await until(lambda: failures)
        assert isinstance(failures[0], ZeroDivisionError)
        await modem.close()

    asyncio.run(scenario())


def test_missing_libraries_are_named(monkeypatch):
    for name in ('spidev', 'gpiod'):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModemError, match='spidev is not installed'):
        load_spidev()
    with pytest.raises(ModemError, match='gpiod is not installed'):
        GpioInterrupt('/dev/gpiochip0', 25)


class Spi:
    """Behaves like spidev.SpiDev without a device."""

    mode = max_speed_hz = 0

    def open(self, bus, device):
        raise FileNotFoundError(2, 'No such file or directory')

    def close(self):
        pass


def test_a_missing_spi_device_is_named():
    bus = SpidevBus(1, 2, 8_000_000, Spi)
    with pytest.raises(ModemError, match=r'/dev/spidev1\.2: No such file'):
        bus.open()
    with pytest.raises(ModemError, match='not open'):
        bus.transfer(b'\0\0')


def test_a_kernel_buffer_that_is_too_small_is_named(monkeypatch, tmp_path):
    buffer = tmp_path / 'bufsiz'
    monkeypatch.setattr(spi, '_BUFFER_SIZE', buffer)
    device = Spi()
    device.open = lambda bus, number: None
    for text in ('4096\n', '3169\n', 'much\n'):
        buffer.write_text(text)
        SpidevBus(0, 0, 8_000_000, lambda: device).open()
    buffer.write_text('2048\n')
    with pytest.raises(ModemError, match=r'spidev\.bufsiz is 2048'):
        SpidevBus(0, 0, 8_000_000, lambda: device).open()


def test_the_interrupt_is_a_rising_edge_on_its_line(monkeypatch):
    gpiod = pytest.importorskip('gpiod')
    asked, read, released = [], [], []
    request = types.SimpleNamespace(
        fd=7, read_edge_events=lambda: read.append(1), release=lambda: released.append(1))
    monkeypatch.setattr(gpiod, 'request_lines', lambda chip, consumer, config: (
        asked.append((chip, config)), request)[1])
    line = GpioInterrupt('/dev/gpiochip0', 25)
    (chip, config), = asked
    assert chip == '/dev/gpiochip0'
    assert list(config) == [25]
    assert config[25].direction is gpiod.line.Direction.INPUT
    assert config[25].edge_detection is gpiod.line.Edge.RISING
    assert line.fileno() == 7
    line.clear()
    line.close()
    assert (read, released) == ([1], [1])


def test_a_gpio_line_that_is_not_to_be_had_is_named(monkeypatch):
    gpiod = pytest.importorskip('gpiod')

    def refuse(chip, consumer, config):
        raise OSError(16, 'Device or resource busy')

    monkeypatch.setattr(gpiod, 'request_lines', refuse)
    with pytest.raises(ModemError, match=r'/dev/gpiochip0 line 25: .*busy'):
        GpioInterrupt('/dev/gpiochip0', 25)


def test_spi_is_opened_in_mode_3():
    device = Spi()
    device.open = lambda bus, number: None
    device.xfer2 = lambda values: [255 - value for value in values]
    bus = SpidevBus(0, 0, 10_000_000, lambda: device)
    bus.open()
    assert (device.mode, device.max_speed_hz) == (3, 10_000_000)
    assert bus.transfer(b'\x00\x01') == b'\xff\xfe'


@pytest.mark.parametrize('name', ['', 'a/b', '..', 'sixteen-letters!'])
def test_names_that_are_no_interface_are_refused(name):
    with pytest.raises(ValueError, match='is no interface name'):
        Tap(name, MAC)


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root to make a TAP')
def test_a_tap_exists_while_it_is_open_and_its_name_is_taken():
    name = f'ccs2t{os.getpid() % 99999}'
    tap = Tap(name, MAC)
    try:
        tap.open()
    except ModemError as error:
        pytest.skip(str(error))
    state = Path('/sys/class/net', name)
    assert (state / 'address').read_text().strip() == '02:00:00:00:00:01'
    with pytest.raises(ModemError, match='busy'):
        Tap(name, MAC).open()
    for up in (True, False):
        tap.set_up(up)
        assert int((state / 'flags').read_text(), 16) & 1 == up
    assert tap.present()
    tap.close()
    assert not state.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root to make a TAP')
def test_a_tap_that_is_taken_away_ends_the_driver_even_while_it_is_down(tmp_path):
    name = f'ccs2t{os.getpid() % 99999}'

    async def scenario():
        modem = VirtualModem(str(tmp_path / 'line'), MAC, name, Tap(name, MAC))
        failures = []
        modem.on_failure = failures.append
        try:
            await modem.open()
        except ModemError as error:
            pytest.skip(str(error))
        ip('link', 'delete', name)
        # Whoever takes the name is not the interface that was made.
        ip('link', 'add', name, 'type', 'dummy')
        await until(lambda: failures)
        assert 'was removed' in str(failures[0])
        await modem.close()
        ip('link', 'delete', name)

    asyncio.run(scenario())


def test_host_addresses(monkeypatch, tmp_path):
    values = {'mac': '02:11:22:33:44:55', 'interface': 'plc0'}
    assert plc_link_drivers.host_mac(values.get).hex() == '021122334455'
    for wrong in ('02:11', '01:11:22:33:44:55', 'zz:11:22:33:44:55'):
        values['mac'] = wrong
        with pytest.raises(ValueError, match="parameter 'mac'"):
            plc_link_drivers.host_mac(values.get)
    values['mac'] = ''
    machine = tmp_path / 'machine-id'
    monkeypatch.setattr(plc_link_drivers, '_MACHINE_ID', machine)
    with pytest.raises(ValueError, match='machine-id is missing'):
        plc_link_drivers.host_mac(values.get)
    machine.write_text('0123456789abcdef\n')
    first = plc_link_drivers.host_mac(values.get)
    assert first == plc_link_drivers.host_mac(values.get)
    assert first[0] & 3 == 2
    values['interface'] = 'plc1'
    assert plc_link_drivers.host_mac(values.get) != first


def test_settings_of_slac_reach_the_core():
    values = {parameter.name: parameter.default for parameter in plc_link_drivers.SLAC}
    core = plc_link_drivers.make_slac(values.__getitem__)(MAC)
    assert core.status().state is LinkState.UNAVAILABLE
    for text, why in (('xyz', 'hexadecimal'), ('00' * (MAX_CARRIERS + 1), 'at most 1155')):
        values['amplitude_map'] = text
        with pytest.raises(ValueError, match=f"parameter 'amplitude_map': .*{why}"):
            plc_link_drivers.make_slac(values.__getitem__)
    values['amplitude_map'] = '00' * MAX_CARRIERS
    assert plc_link_drivers.make_slac(values.__getitem__)(MAC)
    values.update(amplitude_map='', attenuation_groups=[0] * 3)
    with pytest.raises(ValueError, match='3 groups'):
        plc_link_drivers.make_slac(values.__getitem__)


root = pytest.mark.skipif(os.geteuid() != 0, reason='needs root for veth and packet sockets')


def ip(*arguments):
    return subprocess.run(['ip', *arguments], capture_output=True)


@pytest.fixture
def veth():
    """A pair of interfaces that are one cable."""
    one, other = f'ccs2a{os.getpid() % 99999}', f'ccs2b{os.getpid() % 99999}'

    def make():
        made = ip('link', 'add', one, 'address', '02:00:00:00:00:01', 'type', 'veth',
                  'peer', 'name', other)
        for name in (one, other):
            ip('link', 'set', name, 'up')
        return made.returncode

    if make():
        pytest.skip('veth is not available')
    yield one, other, make
    ip('link', 'delete', one)


@root
def test_packet_modem_exchanges_management_frames_only(veth):
    one, other, make = veth

    async def scenario():
        modem = PacketModem(one)
        ready, frames = [], []
        await modem.open()
        modem.on_ready, modem.on_frame = ready.append, frames.append
        assert modem.mac == MAC
        await until(lambda: ready == [True])
        peer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        peer.bind((other, 0x88E1))
        peer.settimeout(2.0)
        peer.send(frame(IPV6))
        peer.send(SLAC[:12] + b'\x81\x00\x00\x05' + SLAC[12:])  # of a virtual LAN
        peer.send(CAR + SLAC[6:])  # for another station
        peer.send(SLAC)
        await until(lambda: frames)
        assert frames == [SLAC]
        assert modem.counters()['frames dropped, not for this interface'] == 2
        modem.send(SLAC)
        assert peer.recv(2000) == SLAC
        peer.close()

        # The interface goes and comes back: never another one, and the same again.
        ip('link', 'delete', one)
        await until(lambda: ready[-1] is False)
        modem.send(SLAC)
        assert make() == 0
        await until(lambda: ready[-1] is True, 30.0)
        peer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        peer.bind((other, 0x88E1))
        peer.send(SLAC)
        await until(lambda: len(frames) == 2)
        peer.close()
        await modem.close()

    asyncio.run(scenario())


@root
def test_packet_modem_gives_up_on_another_address(veth):
    one, other, _ = veth

    async def scenario():
        modem = PacketModem(one)
        failures = []
        await modem.open()
        modem.on_failure = failures.append
        ip('link', 'delete', one)
        await asyncio.sleep(0.5)
        ip('link', 'add', one, 'address', '02:00:00:00:00:77', 'type', 'veth', 'peer',
           'name', other)
        await until(lambda: failures)
        assert 'another MAC address' in str(failures[0])
        await modem.close()

    asyncio.run(scenario())


def test_packet_modem_names_what_is_missing():
    with pytest.raises(ModemError, match='interface nowhere0'):
        asyncio.run(PacketModem('nowhere0').open())
