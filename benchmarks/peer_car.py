"""Run the independent car once and measure it; runs in the peer's own environment.

    peer_car.py INTERFACE LOOPS VOLTAGE OUTPUT

The car is the EV of the package `iso15118`, only made to report and to end: its timing points are
the write of a request and the read that completes a response. It waits in the pre-charge until the
station has reached VOLTAGE, as cars do; with 0 it does not wait (the package's own station has no
voltage to wait for). Exit status 0 means that a whole session completed and no response said
FAILED.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

INTERFACE, LOOPS, VOLTAGE, OUTPUT = sys.argv[1:]
os.environ.update(NETWORK_INTERFACE=INTERFACE, LOG_LEVEL='ERROR', MESSAGE_LOG_JSON='False',
                  MESSAGE_LOG_EXI='False')

from iso15118.evcc import comm_session_handler as handler
from iso15118.evcc.controller.simulator import SimEVController
from iso15118.evcc.evcc_config import EVCCConfig
from iso15118.evcc.evcc_settings import Config
from iso15118.shared.exi_codec import EXI
from iso15118.shared.exificient_exi_codec import ExificientEXICodec
from iso15118.shared.messages.iso15118_20.common_types import RationalNumber

#: V between the station's voltage and the battery's at which a car closes its contactors.
CLOSE_ENOUGH = 20


class Record:
    """Response times by name, and what went wrong."""

    def __init__(self):
        self.latencies = {}
        self.failed = []
        self.last = ''
        self.written = self.read = 0.0
        self.ended = asyncio.Event()
        self.session = None

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

    async def is_precharged(self, present):
        if not int(VOLTAGE):
            return await super().is_precharged(present)
        return abs(float(present.get_decimal_value()) - int(VOLTAGE)) < CLOSE_ENOUGH


def watch(record):
    """Put the record into the package's session and codec; return a handler that ends."""
    class Session(handler.EVCCCommunicationSession):
        def __init__(self, transport, *args, **kwargs):
            reader, writer = transport
            super().__init__((Reader(reader, record), writer), *args, **kwargs)
            record.session = self

        async def send(self, message):
            record.written = time.perf_counter()
            await super().send(message)

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

    return Handler


async def charge(record):
    """Run one session; return why it failed, or ''."""
    Config().load_envs()
    config = EVCCConfig(
        supportedProtocols=['DIN_SPEC_70121'], supportedEnergyServices=['DC'],
        energyTransferMode='DC_extended', isCertInstallNeeded=False, useTls=False,
        enforceTls=False, sdpRetryCycles=1,
        # Its cycle counts the start of the charge, too.
        chargeLoopCycle=int(LOOPS) + 1)
    config.load_raw_values()
    codec = ExificientEXICodec()
    car = watch(record)(config, INTERFACE, codec, Car(config))
    running = asyncio.create_task(car.start_session_handler())
    ended = asyncio.create_task(record.ended.wait())
    await asyncio.wait({running, ended}, timeout=150, return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    codec.gateway.shutdown()
    loops = len(record.latencies.get('CurrentDemandRes', ()))
    if record.failed:
        return ', '.join(record.failed)
    if record.last != 'SessionStopRes' or loops < int(LOOPS):
        why = getattr(getattr(record.session, 'stop_reason', None), 'reason', 'no reason given')
        return f'ended after {record.last or "nothing"} with {loops} charge loops: {why}'
    return ''


if __name__ == '__main__':
    noted = Record()
    why = asyncio.run(charge(noted))
    Path(OUTPUT).write_text(json.dumps(noted.latencies))
    print(f'peer: {why or "completed"}', flush=True)
    # The package leaves threads of its Java gateway behind.
    os._exit(1 if why else 0)
