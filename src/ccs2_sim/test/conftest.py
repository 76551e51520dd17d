"""A scripted DIN station: answers every request at once and as well as an ideal station would."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ccs2_hlc import exi
from ccs2_hlc.exi.messages import din, sap
from ccs2_link.transport import v2gtp
from ccs2_link.transport.sdp import SdpSecurity, encode_response, parse_request
from ccs2_pki.lab.directory import write_lab
from ccs2_pki.profiles import RootKind
from ccs2_power.hal import DUTY_DIGITAL, SUPPLY_OFF, ContactorCommand, SupplyCommand
from ccs2_sim.hardware import SimulatedContactors, SimulatedLock, SimulatedPilot, SimulatedSupply
from ccs2_sim.lab import read_roots, read_wallet

#: Before the time of every test.
MADE = datetime.now(UTC)
V, A, W = din.Unit.V, din.Unit.A, din.Unit.W
Code = din.DCEVSEStatusCode


class ScriptedStation:
    """Knows nothing of sequence: a response for each request; `overrides` change them.

    An override is called with the response's body and the number of that request, and returns the
    body to send, or None for no answer.
    """

    def __init__(self) -> None:
        self.session_id = bytes.fromhex('0102030405060708')
        self.requests: list[Any] = []
        self.counts: Counter[str] = Counter()
        self.voltage = 0.0
        self.ongoing = 2
        self.overrides: dict[str, Callable[[Any, int], Any]] = {}

    def answer(self, request: Any) -> Any:
        """Return the response to a decoded request, None for silence."""
        body = request if isinstance(request, sap.SupportedAppProtocolReq) else request.body
        name = type(body).__name__.removesuffix('Req')
        if isinstance(body, din.PowerDeliveryReq) and not body.ready_to_charge_state:
            name = 'PowerDeliveryStop'
        self.requests.append(request)
        self.counts[name] += 1
        response = getattr(self, f'on_{name}')(body)
        if name in self.overrides:
            response = self.overrides[name](response, self.counts[name])
        if response is None or isinstance(response, sap.SupportedAppProtocolRes):
            return response
        return din.V2GMessage(header=din.MessageHeader(session_id=self.session_id), body=response)

    def ended(self) -> None:
        """Take note that the connection has ended."""

    def names(self) -> list[str]:
        """Return the requests so far by name, repetitions left out."""
        names = []
        for request in self.requests:
            body = getattr(request, 'body', request)
            name = type(body).__name__
            if not names or names[-1] != name:
                names.append(name)
        return names

    @staticmethod
    def status(code: Code = Code.EVSE_READY) -> din.DCEVSEStatus:
        return din.DCEVSEStatus(
            evse_isolation_status=din.IsolationLevel.VALID, evse_status_code=code,
            notification_max_delay=0, evse_notification=din.EVSENotification.NONE)

    def processing(self, name: str) -> din.EVSEProcessing:
        return (din.EVSEProcessing.ONGOING if self.counts[name] <= self.ongoing
                else din.EVSEProcessing.FINISHED)

    def on_SupportedAppProtocol(self, body):
        known = [each for each in body.app_protocol if '70121' in each.protocol_namespace]
        if not known:
            return sap.SupportedAppProtocolRes(
                response_code=sap.ResponseCode.FAILED_NO_NEGOTIATION)
        return sap.SupportedAppProtocolRes(
            response_code=sap.ResponseCode.OK_SUCCESSFUL_NEGOTIATION,
            schema_id=known[0].schema_id)

    def on_SessionSetup(self, body):
        return din.SessionSetupRes(
            response_code=din.ResponseCode.OK_NEW_SESSION_ESTABLISHED, evse_id=b'\0')

    def on_ServiceDiscovery(self, body):
        return din.ServiceDiscoveryRes(
            response_code=din.ResponseCode.OK,
            payment_options=din.PaymentOptions(
                payment_option=[din.PaymentOption.EXTERNAL_PAYMENT]),
            charge_service=din.ServiceCharge(
                service_tag=din.ServiceTag(
                    service_id=1, service_category=din.ServiceCategory.EV_CHARGING),
                free_service=False,
                energy_transfer_type=din.EVSESupportedEnergyTransferType.DC_EXTENDED))

    def on_ServicePaymentSelection(self, body):
        return din.ServicePaymentSelectionRes(response_code=din.ResponseCode.OK)

    def on_ContractAuthentication(self, body):
        return din.ContractAuthenticationRes(
            response_code=din.ResponseCode.OK,
            evse_processing=self.processing('ContractAuthentication'))

    def on_ChargeParameterDiscovery(self, body):
        value = din.PhysicalValue.of
        return din.ChargeParameterDiscoveryRes(
            response_code=din.ResponseCode.OK,
            evse_processing=self.processing('ChargeParameterDiscovery'),
            sa_schedules=din.SAScheduleList(sa_schedule_tuple=[din.SAScheduleTuple(
                sa_schedule_tuple_id=1, p_max_schedule=din.PMaxSchedule(
                    p_max_schedule_id=1, p_max_schedule_entry=[din.PMaxScheduleEntry(
                        time_interval=din.RelativeTimeInterval(start=0, duration=86400),
                        p_max=32767)]))]),
            evse_charge_parameter=din.DCEVSEChargeParameter(
                dc_evse_status=self.status(), evse_maximum_current_limit=value(150, A),
                evse_maximum_power_limit=value(60e3, W), evse_maximum_voltage_limit=value(1000, V),
                evse_minimum_current_limit=value(0, A), evse_minimum_voltage_limit=value(150, V),
                evse_peak_current_ripple=value(1, A)))

    def on_CableCheck(self, body):
        return din.CableCheckRes(
            response_code=din.ResponseCode.OK, dc_evse_status=self.status(),
            evse_processing=self.processing('CableCheck'))

    def on_PreCharge(self, body):
        self.voltage = float(body.ev_target_voltage)
        return din.PreChargeRes(
            response_code=din.ResponseCode.OK, dc_evse_status=self.status(),
            evse_present_voltage=din.PhysicalValue.of(self.voltage, V))

    def on_PowerDelivery(self, body):
        return din.PowerDeliveryRes(
            response_code=din.ResponseCode.OK, evse_status=self.status())

    def on_CurrentDemand(self, body):
        return din.CurrentDemandRes(
            response_code=din.ResponseCode.OK, dc_evse_status=self.status(),
            evse_present_voltage=din.PhysicalValue.of(self.voltage, V),
            evse_present_current=body.ev_target_current,
            evse_current_limit_achieved=False, evse_voltage_limit_achieved=False,
            evse_power_limit_achieved=False)

    def on_PowerDeliveryStop(self, body):
        return din.PowerDeliveryRes(
            response_code=din.ResponseCode.OK, evse_status=self.status(Code.EVSE_SHUTDOWN))

    def on_WeldingDetection(self, body):
        self.voltage /= 4
        return din.WeldingDetectionRes(
            response_code=din.ResponseCode.OK, dc_evse_status=self.status(Code.EVSE_SHUTDOWN),
            evse_present_voltage=din.PhysicalValue.of(round(self.voltage, 1), V))

    def on_SessionStop(self, body):
        return din.SessionStopRes(response_code=din.ResponseCode.OK)


@pytest.fixture
def station() -> ScriptedStation:
    return ScriptedStation()


class StationServer:
    """A scripted station on ::1: SDP and TCP on real sockets, one session at a time."""

    def __init__(self, script: ScriptedStation) -> None:
        self.script = script
        self.sdp_port = 0
        self.datagrams: list[bytes] = []
        self.messages: list[v2gtp.Message] = []
        #: What is wrong with what came, in order: undecodable messages, framing errors.
        self.complaints: list[str] = []
        #: How each connection ended: 'eof', 'reset' or 'refused'.
        self.ends: list[str] = []
        self.octets = 0
        self.answers_sdp = True
        self.offers = SdpSecurity.NONE
        self._schema = 'sap'
        self._busy = False
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._serve, '::1', 0)
        port = self._server.sockets[0].getsockname()[1]
        self._udp, _ = await loop.create_datagram_endpoint(
            lambda: _Discovery(self, port), local_addr=('::1', 0))
        self.sdp_port = self._udp.get_extra_info('sockname')[1]

    async def close(self) -> None:
        self._udp.close()
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    def drop(self) -> None:
        """Reset the connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def idle(self) -> None:
        """Wait until there is no connection."""
        async with asyncio.timeout(5):
            while self._busy:  # noqa: ASYNC110 - for tests only
                await asyncio.sleep(0.005)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._busy:
            self.ends.append('refused')
            writer.transport.abort()
            return
        self._busy = True
        self._writers.append(writer)
        framer = v2gtp.Framer()
        try:
            while data := await reader.read(65536):
                self.octets += len(data)
                framer.feed(data)
                while (message := framer.next()) is not None:
                    self._take(message, writer)
            self.ends.append('eof')
        except ConnectionError:
            self.ends.append('reset')
        except v2gtp.FramingError as error:
            self.complaints.append(str(error))
            self.ends.append('framing')
        finally:
            self.script.ended()
            self._busy = False
            self._schema = 'sap'
            writer.close()

    def _take(self, message: v2gtp.Message, writer: asyncio.StreamWriter) -> None:
        self.messages.append(message)
        try:
            request = exi.decode(self._schema, message.payload)
        except exi.ExiError as error:
            self.complaints.append(str(error))
            return
        response = self.script.answer(request)
        if response is None:
            return
        writer.write(v2gtp.encode(message.payload_type, exi.encode(response)))
        self._schema = 'din'
        if type(getattr(response, 'body', None)).__name__ == 'SessionStopRes':
            writer.close()


class _Discovery(asyncio.DatagramProtocol):
    def __init__(self, station: StationServer, port: int) -> None:
        self._station = station
        self._port = port

    def connection_made(self, transport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address) -> None:
        self._station.datagrams.append(data)
        if self._station.answers_sdp and parse_request(data) is not None:
            self._transport.sendto(encode_response(
                ipaddress.IPv6Address('::1'), self._port, self._station.offers), address)


@pytest.fixture
async def station_server(station):
    made = StationServer(station)
    await made.open()
    yield made
    await made.close()


class PoweredStation(ScriptedStation):
    """A station that drives the plant's devices and answers with what it measures."""

    def __init__(self, socket: str) -> None:
        super().__init__()
        self._socket = socket
        self._pilot, self._contactors = SimulatedPilot(), SimulatedContactors()
        self._supply, self._lock = SimulatedSupply(), SimulatedLock()
        self._closed = False
        self._command = SUPPLY_OFF
        self._locked = False

    async def __aenter__(self):
        for driver in (self._pilot, self._contactors, self._supply, self._lock):
            await driver.open({'socket': self._socket})
        self._driving = asyncio.create_task(self._drive())
        return self

    async def __aexit__(self, *_):
        self._driving.cancel()
        for driver in (self._pilot, self._contactors, self._supply, self._lock):
            await driver.close()

    async def _drive(self) -> None:
        while True:
            self._pilot.command(DUTY_DIGITAL)
            self._contactors.command(ContactorCommand(main=self._closed))
            self._supply.command(self._command)
            self._lock.command(self._locked)
            await asyncio.sleep(0.02)

    def _measured(self) -> din.PhysicalValue:
        return din.PhysicalValue.of(round(self._supply.read().voltage.value, 1), V)

    def on_CableCheck(self, body):
        self._closed = self._locked = True
        return super().on_CableCheck(body)

    def on_PreCharge(self, body):
        self._command = SupplyCommand(on=True, voltage=float(body.ev_target_voltage), current=2.0)
        response = super().on_PreCharge(body)
        response.evse_present_voltage = self._measured()
        return response

    def on_CurrentDemand(self, body):
        self._command = SupplyCommand(
            on=True, voltage=float(body.ev_target_voltage), current=float(body.ev_target_current))
        response = super().on_CurrentDemand(body)
        response.evse_present_voltage = self._measured()
        response.evse_present_current = din.PhysicalValue.of(
            round(self._supply.read().current.value, 1), A)
        return response

    def on_PowerDeliveryStop(self, body):
        self._command, self._closed = SUPPLY_OFF, False
        return super().on_PowerDeliveryStop(body)

    def on_WeldingDetection(self, body):
        response = super().on_WeldingDetection(body)
        response.evse_present_voltage = self._measured()
        return response

    def ended(self) -> None:
        self._command, self._closed, self._locked = SUPPLY_OFF, False, False


@pytest.fixture
def powered_station():
    return PoweredStation


@pytest.fixture
def station_on_sockets():
    return StationServer


@pytest.fixture(scope='session')
def lab(tmp_path_factory) -> Path:
    """A laboratory of certificates that are valid now."""
    directory = tmp_path_factory.mktemp('lab') / 'lab'
    write_lab(directory, MADE)
    return directory


@pytest.fixture
def roots(lab):
    """The laboratory's roots for ISO 15118-2, by kind."""
    return {kind: read_roots(lab, kind) for kind in RootKind}


@pytest.fixture
def wallet(lab):
    """The wallet of a car by ISO 15118-2."""
    return read_wallet(lab, MADE)
