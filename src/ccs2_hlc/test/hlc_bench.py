"""A station, a transport and a vehicle around the session core, on a virtual clock."""

from dataclasses import replace

from ccs2_hlc import exi
from ccs2_hlc.exi.messages import din, sap
from ccs2_hlc.session.command import ENERGISED, Mode
from ccs2_hlc.session.secc import ENGINES, Outgoing, Request, Secc
from ccs2_hlc.session.station import (
    CableCheck,
    Isolation,
    IsolationState,
    Pilot,
    PilotState,
    Power,
    PowerState,
    Safety,
    Station,
    Timing,
)
from ccs2_hlc.session.transport import Action, CloseReason, Connection, LinkState, Security

STEP = 0.05
DIN = 'urn:din:70121:2012:MsgDef'
OFFER = (DIN, 2, 0, 1, 1)


class Bench:
    """Power stage, safety supervisor and transport that do what they are told."""

    def __init__(self, automatic=True, cable_check_time=2.0, security=Security.NONE, **settings):
        self.now = 1000.0
        timing = settings.pop('timing', Timing())
        protocols = settings.pop('protocols', tuple(ENGINES))
        self.station = Station(
            evse_id='DE*ABC*E1', evse_id_din='49*89*6360', automatic_authorization=automatic,
            unix_time=lambda: 1_700_000_000, timing=timing, **settings)
        self.secc = Secc(self.station, protocols)
        self.security = security
        self.cable_check_time = cable_check_time
        self.verdict = CableCheck.VALID
        self.battery = 380.0
        self.ramp_time = 0.2
        self.silent = set()
        self.safety_overrides = {}
        self.power_overrides = {}
        self.power = Power(
            state=PowerState.OFF, voltage=0.0, current=0.0, minimum_voltage=150.0,
            maximum_voltage=1000.0, minimum_current=0.0, maximum_current=200.0,
            maximum_power=60_000.0, peak_current_ripple=1.0, current_regulation_tolerance=2.0)
        self.safety = Safety(contactors_closed=False, contactors_open=True, permitted=True)
        self.pilot = PilotState.B
        self.bcb_toggles = 0
        self.isolation = IsolationState.VALID
        self.connection = Connection(state=LinkState.DOWN)
        self.sequence = 0
        self.sent = []
        self.receive_until = None
        self.close_at = None
        self.session_id = bytes(8)
        self._checked_since = None
        self._stop_since = None
        self.step()

    # The station's parts.

    def step(self, seconds=STEP):
        """Let `seconds` pass in one step: parts act, report, and the core looks at them."""
        self.now += seconds
        self.act()
        self.report()
        self.keep(self.secc.tick(self.now))
        self.check()

    def advance(self, seconds):
        until = self.now + seconds
        while self.now < until - 1e-9:
            self.step(min(STEP, until - self.now))

    def act(self):
        command = self.secc.command(self.now)
        ready = self.pilot in (PilotState.C, PilotState.D)
        closed = command.mode in ENERGISED and ready
        power = self.power
        if command.session_id != power.session_id:
            power = replace(
                power, session_id=command.session_id, cable_check=CableCheck.NOT_DONE)
            self._checked_since = None
        if command.mode is Mode.CABLE_CHECK and closed:
            if self._checked_since is None:
                self._checked_since = self.now
            over = self.now - self._checked_since >= self.cable_check_time
            power = replace(
                power, state=PowerState.OFF if over else PowerState.CABLE_CHECK,
                cable_check=self.verdict if over else CableCheck.RUNNING)
        if command.mode is Mode.PRE_CHARGE and closed:
            power = replace(
                power, state=PowerState.PRE_CHARGE, voltage=command.target_voltage, current=0.0)
        elif command.mode is Mode.CHARGE and closed:
            power = replace(
                power, state=PowerState.CHARGING, voltage=self.battery,
                current=command.target_current)
        elif command.mode is Mode.STOP:
            self._stop_since = self._stop_since or self.now
            if self.now - self._stop_since >= self.ramp_time:
                power = replace(power, state=PowerState.OFF, current=0.0)
            else:
                closed = True
        elif command.mode in (Mode.OFF, Mode.WELDING_CHECK):
            power = replace(power, state=PowerState.OFF, current=0.0, voltage=0.0)
            self._stop_since = None
        self.power = power
        self.safety = replace(
            self.safety, contactors_closed=closed, contactors_open=not closed)

    def report(self):
        for name, value in (
            ('power', replace(self.power, **self.power_overrides)),
            ('safety', replace(self.safety, **self.safety_overrides)),
            ('pilot', Pilot(self.pilot, self.bcb_toggles)),
            ('isolation', Isolation(self.isolation)),
        ):
            if name not in self.silent:
                self.secc.observe(value, self.now)
        if 'transport' not in self.silent:
            if self.receive_until is not None and self.now >= self.receive_until:
                self.close(CloseReason.TIMEOUT)
            elif self.close_at is not None and self.now >= self.close_at:
                self.close(CloseReason.BY_STATION)
            else:
                self.keep(self.secc.connection(self.connection, self.now))

    def check(self):
        """What must hold at every moment."""
        command = self.secc.command(self.now)
        session = self.secc.session()
        if command.mode in ENERGISED:
            assert session.stage.name not in ('FAILED', 'FINISHED', 'IDLE', 'PROTOCOL')
            assert self.connection.state is LinkState.OPEN
        if command.target_voltage is not None:
            assert 0.0 <= command.target_voltage <= self.power.maximum_voltage
            assert command.target_voltage <= (command.maximum_voltage or 0.0)
        if command.target_current is not None:
            assert 0.0 <= command.target_current <= self.power.maximum_current
            assert command.target_current <= (command.maximum_current or 0.0)

    # The transport.

    def listen(self):
        self.connection = Connection(state=LinkState.LISTENING, link_since=(int(self.now), 1))
        self.keep(self.secc.connection(self.connection, self.now))

    def open(self):
        if self.connection.state is LinkState.DOWN:
            self.listen()
        self.connection = replace(
            self.connection, state=LinkState.OPEN, security=self.security,
            connection_id=self.connection.connection_id + 1, close_reason=CloseReason.NONE)
        self.sequence = 0
        self.keep(self.secc.connection(self.connection, self.now))

    def close(self, reason=CloseReason.BY_VEHICLE):
        self.connection = replace(
            self.connection, state=LinkState.CLOSED, close_reason=reason)
        self.receive_until = self.close_at = None
        self.keep(self.secc.connection(self.connection, self.now))

    def keep(self, step):
        for item in step:
            if isinstance(item, Outgoing):
                self.sent.append(item)
                if (item.connection_id != self.connection.connection_id
                        or 'transport' in self.silent):
                    continue
                self.receive_until = None
                if item.action is Action.SEND:
                    self.receive_until = self.now + item.receive_timeout
                elif item.action is Action.IGNORE:
                    assert not item.data
                    self.receive_until = self.now + item.receive_timeout
                elif item.action is Action.SEND_THEN_CLOSE:
                    self.close_at = self.now + item.close_delay
                else:
                    self.close(CloseReason.BY_STATION)

    def deliver(self, data, payload_type=0x8001):
        """Hand over one message; return what it gave rise to at once."""
        self.sequence += 1
        self.receive_until = None
        before = len(self.sent)
        self.keep(self.secc.request(Request(
            connection_id=self.connection.connection_id, sequence=self.sequence,
            payload_type=payload_type, data=data), self.now))
        self.check()
        return self.sent[before:]

    # The vehicle.

    def negotiate(self, *offers):
        (outgoing,) = self.deliver(exi.encode(sap.SupportedAppProtocolReq(app_protocol=[
            sap.AppProtocol(
                protocol_namespace=namespace, version_number_major=major,
                version_number_minor=minor, schema_id=schema_id, priority=priority)
            for namespace, major, minor, schema_id, priority in offers or (OFFER,)])))
        return exi.decode('sap', outgoing.data)

    def ask(self, body, session_id=None, wait=2.0):
        """Send a request, let time pass until it is answered; return the response's body."""
        self.act()
        self.report()
        message = din.V2GMessage(
            header=din.MessageHeader(
                session_id=self.session_id if session_id is None else session_id), body=body)
        sent = self.deliver(exi.encode(message))
        until = self.now + wait
        while not sent and self.now < until:
            before = len(self.sent)
            self.step()
            sent = self.sent[before:]
        if not sent or not sent[0].data:
            return None
        answer = exi.decode('din', sent[0].data)
        assert answer == sent[0].message
        if isinstance(body, din.SessionSetupReq):
            self.session_id = answer.header.session_id
        return answer.body

    @property
    def last(self):
        return self.sent[-1]

    @property
    def stage(self):
        return self.secc.session().stage.name

    @property
    def command(self):
        return self.secc.command(self.now)


# Requests as a vehicle in good order sends them.

def volts(number):
    return din.PhysicalValue.of(number, din.Unit.V)


def amperes(number):
    return din.PhysicalValue.of(number, din.Unit.A)


def watts(number):
    return din.PhysicalValue.of(number, din.Unit.W)


def status(error=din.DCEVErrorCode.NO_ERROR, soc=40):
    return din.DCEVStatus(ev_ready=True, ev_error_code=error, ev_ress_soc=soc)


def parameters(voltage=420.0, current=150.0, power=None):
    return din.DCEVChargeParameter(
        dc_ev_status=status(), ev_maximum_current_limit=amperes(current),
        ev_maximum_voltage_limit=volts(voltage),
        ev_maximum_power_limit=None if power is None else watts(power))


def ac_parameters():
    return din.ACEVChargeParameter(
        departure_time=0, e_amount=din.PhysicalValue.of(1000, din.Unit.WH),
        ev_max_voltage=volts(400), ev_max_current=amperes(16), ev_min_current=amperes(6))


def setup():
    return din.SessionSetupReq(evcc_id=bytes.fromhex('007dfa06ab91'))


def discovery():
    return din.ServiceDiscoveryReq(service_category=din.ServiceCategory.EV_CHARGING)


def selection(option=din.PaymentOption.EXTERNAL_PAYMENT, services=(1,)):
    return din.ServicePaymentSelectionReq(
        selected_payment_option=option,
        selected_service_list=din.SelectedServiceList(selected_service=[
            din.SelectedService(service_id=service) for service in services]))


def authentication():
    return din.ContractAuthenticationReq()


def charge_parameters(kind=din.EVRequestedEnergyTransferType.DC_EXTENDED, limits=None):
    return din.ChargeParameterDiscoveryReq(
        ev_requested_energy_transfer_type=kind, ev_charge_parameter=limits or parameters())


def cable_check(**values):
    return din.CableCheckReq(dc_ev_status=status(**values))


def pre_charge(voltage=380.0, current=1.0, **values):
    return din.PreChargeReq(
        dc_ev_status=status(**values), ev_target_voltage=volts(voltage),
        ev_target_current=amperes(current))


def power_delivery(ready=True, profile=None):
    return din.PowerDeliveryReq(
        ready_to_charge_state=ready, charging_profile=profile,
        ev_power_delivery_parameter=din.DCEVPowerDeliveryParameter(
            dc_ev_status=status(), charging_complete=False))


def current_demand(current=100.0, voltage=400.0, **limits):
    return din.CurrentDemandReq(
        dc_ev_status=status(), ev_target_current=amperes(current),
        ev_target_voltage=volts(voltage), charging_complete=False, **limits)


def welding_detection():
    return din.WeldingDetectionReq(dc_ev_status=status())


def session_stop():
    return din.SessionStopReq()


# Requests that a DC station does not serve.

def not_served():
    meter = din.MeterInfo(meter_id='1')
    chain = din.CertificateChain(certificate=b'\x30')
    roots = din.ListOfRootCertificateIDs(root_certificate_id=['root'])
    return {
        din.ServiceDetailReq: din.ServiceDetailReq(service_id=2),
        din.PaymentDetailsReq: din.PaymentDetailsReq(
            contract_id='DE-ABC-123', contract_signature_cert_chain=chain),
        din.ChargingStatusReq: din.ChargingStatusReq(),
        din.MeteringReceiptReq: din.MeteringReceiptReq(session_id=bytes(8), meter_info=meter),
        din.CertificateUpdateReq: din.CertificateUpdateReq(
            contract_signature_cert_chain=chain, contract_id='DE-ABC-123',
            list_of_root_certificate_ids=roots, dh_params=b'1'),
        din.CertificateInstallationReq: din.CertificateInstallationReq(
            oem_provisioning_cert=b'\x30', list_of_root_certificate_ids=roots, dh_params=b'1'),
    }


REQUESTS = {
    din.SessionSetupReq: setup,
    din.ServiceDiscoveryReq: discovery,
    din.ServicePaymentSelectionReq: selection,
    din.ContractAuthenticationReq: authentication,
    din.ChargeParameterDiscoveryReq: charge_parameters,
    din.CableCheckReq: cable_check,
    din.PreChargeReq: pre_charge,
    din.PowerDeliveryReq: power_delivery,
    din.CurrentDemandReq: current_demand,
    din.WeldingDetectionReq: welding_detection,
    din.SessionStopReq: session_stop,
    **{kind: (lambda request=request: request) for kind, request in not_served().items()},
}

STATES = (
    'SESSION_SETUP', 'SERVICE_DISCOVERY', 'PAYMENT_SELECTION', 'AUTHENTICATION', 'PARAMETERS',
    'CABLE_CHECK', 'PRE_CHARGE', 'PRE_CHARGED', 'STARTED', 'CHARGING', 'STOPPED',
    'WELDING_DETECTION', 'ENDED')


def bring_to(state, bench=None, **settings):
    """Return a bench whose session waits in `state`."""
    bench = bench or Bench(**settings)
    bench.open()
    bench.negotiate()

    def run_cable_check():
        bench.pilot = PilotState.C
        bench.step()
        while bench.ask(cable_check()).evse_processing is din.EVSEProcessing.ONGOING:
            bench.advance(0.2)

    def stop():
        bench.ask(power_delivery(False))
        bench.pilot = PilotState.B
        bench.step()

    steps = {
        'SERVICE_DISCOVERY': lambda: bench.ask(setup()),
        'PAYMENT_SELECTION': lambda: bench.ask(discovery()),
        'AUTHENTICATION': lambda: bench.ask(selection()),
        'PARAMETERS': lambda: bench.ask(authentication()),
        'CABLE_CHECK': lambda: bench.ask(charge_parameters()),
        'PRE_CHARGE': run_cable_check,
        'PRE_CHARGED': lambda: bench.ask(pre_charge()),
        'STARTED': lambda: bench.ask(power_delivery()),
        'CHARGING': lambda: bench.ask(current_demand()),
        'STOPPED': stop,
        'WELDING_DETECTION': lambda: bench.ask(welding_detection()),
        'ENDED': lambda: bench.ask(session_stop()),
    }
    for name in STATES[1:STATES.index(state) + 1]:
        steps[name]()
    engine = bench.secc._engine
    assert (engine.state.name, engine.failure) == (state, None)
    return bench
