"""Run the independent car once and measure it; runs in the peer's own environment.

    peer_car.py INTERFACE PLAN LOOPS VOLTAGE PKI OUTPUT

The car is the EV of the package `iso15118`, only made to report and to end: its timing points are
the write of a request and the read that completes a response. PLAN (JSON) is one of `peer_plans`,
PKI the folder of its certificates. It waits in the pre-charge until the station has reached
VOLTAGE, as cars do; with 0 it does not wait (the package's own station has no voltage to wait for).
OUTPUT gets the response times, what the session used, and why it failed. Exit status 0 means that
a whole session completed, as planned, and no response said FAILED.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

INTERFACE, PLAN, LOOPS, VOLTAGE, PKI, OUTPUT = sys.argv[1:]
plan = json.loads(PLAN)
os.environ.update(NETWORK_INTERFACE=INTERFACE, LOG_LEVEL='ERROR', MESSAGE_LOG_JSON='False',
                  MESSAGE_LOG_EXI='False', PKI_PATH=f'{PKI}/',
                  ENABLE_TLS_1_3=str(plan['tls'] == 'TLSv1.3'))

from iso15118.evcc import comm_session_handler as handler
from iso15118.evcc.controller.simulator import SimEVController
from iso15118.evcc.evcc_config import EVCCConfig
from iso15118.evcc.evcc_settings import Config
from iso15118.evcc.states import iso15118_2_states, iso15118_20_states
from iso15118.shared.exi_codec import EXI
from iso15118.shared.exificient_exi_codec import ExificientEXICodec
from iso15118.shared.messages.enums import AuthEnum
from iso15118.shared.messages.iso15118_20.common_types import RationalNumber

#: V between the station's voltage and the battery's at which a car closes its contactors.
CLOSE_ENOUGH = 20
#: The responses of the charge loop.
LOOP = ('CurrentDemandRes', 'DC_ChargeLoopRes')


class Record:
    """Response times by name, and what went wrong."""

    def __init__(self):
        self.latencies = {}
        self.failed = []
        self.last = ''
        self.written = self.read = 0.0
        self.ended = asyncio.Event()
        self.session = None
        self.tls = ''

    def response(self, name, code):
        self.latencies.setdefault(name, []).append(self.read - self.written)
        self.last = name
        if 'FAILED' in str(code):
            self.failed.append(f'{name}: {code}')


class Reader:
    """Notes when octets were read."""

    def __init__(self, reader, record):
        self._reader, self._record = reader, record

    async def read(self, count):
        data = await self._reader.read(count)
        self._record.read = time.perf_counter()
        return data

    def __getattr__(self, name):
        return getattr(self._reader, name)


class Car(SimEVController):
    """The package's simulated car with a plausible battery."""

    def __init__(self, config):
        super().__init__(config)
        volts = int(VOLTAGE)
        if not volts:
            return
        for limit, value in (('dc_target_voltage', volts), ('dc_max_voltage_limit', volts + 50),
                             ('dc_max_current_limit', 100)):
            quantity = getattr(self.dc_ev_charge_params, limit)
            quantity.multiplier, quantity.value = 0, value

    async def get_present_voltage(self):
        return RationalNumber(exponent=0, value=int(VOLTAGE) or 500)

    get_target_voltage = get_present_voltage

    async def get_scheduled_dc_charge_loop_params(self):
        wanted = await super().get_scheduled_dc_charge_loop_params()
        if int(VOLTAGE):
            wanted.ev_target_voltage = await self.get_present_voltage()
            wanted.ev_target_current = RationalNumber(exponent=0, value=10)
        return wanted

    async def select_energy_service_v20(self, services):
        selected = await super().select_energy_service_v20(services)
        for offered in selected_sets(services[0]):
            selected.parameter_set = offered
        return selected

    async def is_precharged(self, present):
        if not int(VOLTAGE):
            return await super().is_precharged(present)
        return abs(float(present.get_decimal_value()) - int(VOLTAGE)) < CLOSE_ENOUGH


def selected_sets(service):
    """Return the parameter sets with the control mode that is planned (1 scheduled, 2 dynamic)."""
    wanted = 2 if plan['dynamic'] else 1
    return [offered for offered in service.parameter_sets
            if any(item.name == 'ControlMode' and item.int_value == wanted
                   for item in offered.parameters)][:1]


def pay_externally():
    """Let the car choose EIM where the station offers contracts, too, which it prefers."""
    def select(self, offered):
        self.comm_session.selected_auth_option = AuthEnum.EIM_V2

    iso15118_2_states.ServiceDiscovery.select_auth_mode = select
    setup = iso15118_20_states.AuthorizationSetup.process_message

    async def process_message(self, message, message_exi=None):
        if AuthEnum.EIM in getattr(message, 'auth_services', ()):
            message.auth_services = [AuthEnum.EIM]
        await setup(self, message, message_exi)

    iso15118_20_states.AuthorizationSetup.process_message = process_message


def watch(record):
    """Put the record into the package's session and codec; return a handler that ends."""
    class Session(handler.EVCCCommunicationSession):
        def __init__(self, transport, *args, **kwargs):
            reader, writer = transport
            if (tls := writer.get_extra_info('ssl_object')) is not None:
                record.tls = tls.version()
            super().__init__((Reader(reader, record), writer), *args, **kwargs)
            record.session = self

        async def send(self, message):
            record.written = time.perf_counter()
            await super().send(message)

        async def stop(self, reason):
            # The package waits for 5 s before it closes the connection.
            self.writer.close()

    handler.EVCCCommunicationSession = Session
    decode = EXI.from_exi

    def from_exi(self, data, namespace):
        message = decode(self, data, namespace)
        body = message.body.get_message() if hasattr(message, 'body') else message
        record.response(str(message), getattr(body, 'response_code', None))
        return message

    EXI.from_exi = from_exi

    class Handler(handler.CommunicationSessionHandler):
        begun = False

        async def restart_sdp(self, new_sdp_cycle):
            # The package begins anew after every session; one is enough.
            if new_sdp_cycle and self.begun:
                record.ended.set()
                return
            self.begun = True
            await super().restart_sdp(new_sdp_cycle)

        async def start_comm_session(self, host, port, is_tls):
            await super().start_comm_session(host, port, is_tls)
            if record.session is None:
                record.ended.set()

    return Handler


async def charge(record):
    """Run one session; return why it failed, or ''."""
    Config().load_envs()
    config = EVCCConfig(
        supportedProtocols=[plan['protocol']], supportedEnergyServices=[plan['service']],
        energyTransferMode='DC_extended', isCertInstallNeeded=False, useTls=bool(plan['tls']),
        enforceTls=bool(plan['tls']), sdpRetryCycles=1,
        # Its cycle counts the start of the charge, too.
        chargeLoopCycle=int(LOOPS) + 1)
    config.load_raw_values()
    if not plan['contract']:
        pay_externally()
    codec = ExificientEXICodec()
    car = watch(record)(config, INTERFACE, codec, Car(config))
    running = asyncio.create_task(car.start_session_handler())
    ended = asyncio.create_task(record.ended.wait())
    await asyncio.wait({running, ended}, timeout=150, return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    codec.gateway.shutdown()
    if record.failed:
        return ', '.join(record.failed)
    loops = sum(len(record.latencies.get(name, ())) for name in LOOP)
    if record.last != 'SessionStopRes' or loops < int(LOOPS):
        why = getattr(getattr(record.session, 'stop_reason', None), 'reason', 'no reason given')
        return f'ended after {record.last or "nothing"} with {loops} charge loops: {why}'
    return ''


def used(record):
    """Return what the session has used, in the words of a plan."""
    session = record.session
    authorization = getattr(session, 'authorization_req_message', None)
    selected = getattr(authorization, 'selected_auth_service', None)
    service = getattr(session, 'selected_energy_service', None)
    return {
        'protocol': session.protocol.name if session is not None else '',
        'tls': record.tls,
        'contract': 'PaymentDetailsRes' in record.latencies or selected is AuthEnum.PNC,
        # Earlier protocols choose none.
        'service': getattr(getattr(service, 'service', None), 'name', 'DC'),
        'dynamic': getattr(getattr(session, 'control_mode', None), 'name', '') == 'DYNAMIC',
    }


if __name__ == '__main__':
    noted = Record()
    why = asyncio.run(charge(noted))
    found = used(noted)
    if not why:
        why = ', '.join(f'{key} is {value!r}, not {plan[key]!r}'
                        for key, value in found.items() if value != plan[key])
    Path(OUTPUT).write_text(json.dumps(
        {'latencies': noted.latencies, 'used': found, 'problem': why}))
    print(f'peer: {plan["title"]}: {why or "completed"}', flush=True)
    # The package leaves threads of its Java gateway behind.
    os._exit(1 if why else 0)
