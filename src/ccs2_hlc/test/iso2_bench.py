"""A vehicle by ISO 15118-2 on the session bench, from a station that can do everything."""

from dataclasses import replace

from hlc_bench import Bench

from ccs2_hlc import exi
from ccs2_hlc.exi.messages import iso2, xmldsig
from ccs2_hlc.session.command import Mode
from ccs2_hlc.session.services import Service
from ccs2_hlc.session.station import CableCheck, Meter, PilotState
from ccs2_hlc.session.transport import LinkState

OFFER = ('urn:iso:15118:2:2013:MsgDef', 2, 0, 1, 1)
U = iso2.Unit
#: What may be offered besides charging; REQUESTS ask for it.
INTERNET = Service(3, 'InternetAccess', 'Internet', True)
START, STOP, RENEGOTIATE = iso2.ChargeProgress
TERMINATE, PAUSE = iso2.ChargingSession


class Iso2Bench(Bench):
    """The bench with a meter, and with a power stage that forgets its cable check when off."""

    def __init__(self, **settings):
        self.energy = 3.6e9
        self.trust = settings.pop('trust', None)
        super().__init__(**settings)
        self.secc.set_trust(self.trust)

    def negotiate(self, *offers):
        return super().negotiate(*(offers or (OFFER,)))

    def act(self):
        super().act()
        if self.secc.command(self.now).mode is Mode.OFF:
            self.power = replace(self.power, cable_check=CableCheck.NOT_DONE)
            self._checked_since = None

    def report(self):
        super().report()
        if 'meter' not in self.silent:
            self.energy += self.power.voltage * self.power.current * 0.05
            self.secc.observe(Meter(
                meter_id='M1', energy_imported=self.energy, energy_exported=7.2e6, status=0),
                self.now)

    def send(self, body, session_id=None, signature=None):
        """Send a request; return what it gave rise to at once."""
        self.act()
        self.report()
        # Vehicles may send what the schema does not allow.
        return self.deliver(exi.encode(iso2.V2GMessage(
            header=iso2.MessageHeader(
                session_id=self.session_id if session_id is None else session_id,
                signature=signature),
            body=body), validate=False))

    def ask(self, body, session_id=None, wait=2.0, signature=None):
        sent = self.send(body, session_id, signature)
        until = self.now + wait
        while not sent and self.now < until:
            before = len(self.sent)
            self.step()
            sent = self.sent[before:]
        if not sent or not sent[0].data:
            return None
        answer = exi.decode('iso2', sent[0].data)
        assert answer == sent[0].message
        if isinstance(body, iso2.SessionSetupReq):
            self.session_id = answer.header.session_id
        return answer.body

    def come_back(self):
        """The connection ends, the vehicle sleeps and wakes up."""
        if self.connection.state is LinkState.OPEN:
            self.close()
        self.pilot = PilotState.B
        self.advance(10.0)
        self.open()
        self.negotiate()


def volts(number):
    return iso2.PhysicalValue.of(number, U.V)


def amperes(number):
    return iso2.PhysicalValue.of(number, U.A)


def watts(number):
    return iso2.PhysicalValue.of(number, U.W)


def status(error=iso2.DCEVErrorCode.NO_ERROR, soc=40):
    return iso2.DCEVStatus(ev_ready=True, ev_error_code=error, ev_ress_soc=soc)


def parameters(voltage=420.0, current=150.0, power=None, departure=None):
    return iso2.DCEVChargeParameter(
        departure_time=departure, dc_ev_status=status(),
        ev_maximum_current_limit=amperes(current), ev_maximum_voltage_limit=volts(voltage),
        ev_maximum_power_limit=None if power is None else watts(power))


def ac_parameters():
    return iso2.ACEVChargeParameter(
        e_amount=iso2.PhysicalValue.of(1000, U.WH), ev_max_voltage=volts(400),
        ev_max_current=amperes(16), ev_min_current=amperes(6))


def setup():
    return iso2.SessionSetupReq(evcc_id=bytes.fromhex('007dfa06ab91'))


def discovery():
    return iso2.ServiceDiscoveryReq()


def detail(service=2):
    return iso2.ServiceDetailReq(service_id=service)


def selection(option=iso2.PaymentOption.EXTERNAL_PAYMENT, services=((1, None),)):
    return iso2.PaymentServiceSelectionReq(
        selected_payment_option=option,
        selected_service_list=iso2.SelectedServiceList(selected_service=[
            iso2.SelectedService(service_id=service, parameter_set_id=chosen)
            for service, chosen in services]))


def authorization(challenge=None):
    return iso2.AuthorizationReq(
        id=None if challenge is None else 'id1', gen_challenge=challenge)


def charge_parameters(mode=iso2.EnergyTransferMode.DC_EXTENDED, limits=None, entries=None):
    return iso2.ChargeParameterDiscoveryReq(
        max_entries_sa_schedule_tuple=entries, requested_energy_transfer_mode=mode,
        ev_charge_parameter=limits or parameters())


def cable_check(**values):
    return iso2.CableCheckReq(dc_ev_status=status(**values))


def pre_charge(voltage=380.0, current=1.0, **values):
    return iso2.PreChargeReq(
        dc_ev_status=status(**values), ev_target_voltage=volts(voltage),
        ev_target_current=amperes(current))


def power_delivery(progress=START, schedule=1, plan=None):
    return iso2.PowerDeliveryReq(
        charge_progress=progress, sa_schedule_tuple_id=schedule,
        charging_profile=None if plan is None else iso2.ChargingProfile(profile_entry=[
            iso2.ProfileEntry(
                charging_profile_entry_start=start,
                charging_profile_entry_max_power=watts(power))
            for start, power in plan]),
        ev_power_delivery_parameter=iso2.DCEVPowerDeliveryParameter(
            dc_ev_status=status(), charging_complete=False))


def current_demand(current=100.0, voltage=400.0, **limits):
    return iso2.CurrentDemandReq(
        dc_ev_status=status(), ev_target_current=amperes(current),
        ev_target_voltage=volts(voltage), charging_complete=False, **limits)


def receipt(session_id=bytes(8), meter=None):
    return iso2.MeteringReceiptReq(
        id='id1', session_id=session_id,
        meter_info=meter or iso2.MeterInfo(meter_id='M1', meter_reading=1))


def welding_detection():
    return iso2.WeldingDetectionReq(dc_ev_status=status())


def session_stop(charging_session=TERMINATE):
    return iso2.SessionStopReq(charging_session=charging_session)


def _roots():
    return iso2.ListOfRootCertificateIDs(root_certificate_id=[xmldsig.X509IssuerSerial(
        x509_issuer_name='CN=Root', x509_serial_number=1)])


def installation():
    return iso2.CertificateInstallationReq(
        id='id1', oem_provisioning_cert=b'\x30', list_of_root_certificate_ids=_roots())


def update():
    return iso2.CertificateUpdateReq(
        id='id1', contract_signature_cert_chain=iso2.CertificateChain(certificate=b'\x30'),
        emaid='DE8AA0012345670', list_of_root_certificate_ids=_roots())


def payment_details():
    return iso2.PaymentDetailsReq(
        emaid='DE8AA0012345670',
        contract_signature_cert_chain=iso2.CertificateChain(certificate=b'\x30'))


REQUESTS = {
    iso2.SessionSetupReq: setup,
    iso2.ServiceDiscoveryReq: discovery,
    iso2.ServiceDetailReq: lambda: detail(INTERNET.number),
    iso2.PaymentServiceSelectionReq: selection,
    iso2.CertificateInstallationReq: installation,
    iso2.CertificateUpdateReq: update,
    iso2.PaymentDetailsReq: payment_details,
    iso2.AuthorizationReq: authorization,
    iso2.ChargeParameterDiscoveryReq: charge_parameters,
    iso2.CableCheckReq: cable_check,
    iso2.PreChargeReq: pre_charge,
    iso2.PowerDeliveryReq: power_delivery,
    iso2.CurrentDemandReq: current_demand,
    iso2.MeteringReceiptReq: receipt,
    iso2.WeldingDetectionReq: welding_detection,
    iso2.SessionStopReq: session_stop,
    iso2.ChargingStatusReq: iso2.ChargingStatusReq,
}

#: The way of a session by external payment, and the branches off it: state, its predecessor.
WAY = {
    'SESSION_SETUP': None,
    'SERVICE_DISCOVERY': 'SESSION_SETUP',
    'SERVICES': 'SERVICE_DISCOVERY',
    'AUTHORIZATION': 'SERVICES',
    'PARAMETERS': 'AUTHORIZATION',
    'CABLE_CHECK': 'PARAMETERS',
    'PRE_CHARGE': 'CABLE_CHECK',
    'PRE_CHARGED': 'PRE_CHARGE',
    'STARTED': 'PRE_CHARGED',
    'CHARGING': 'STARTED',
    'RENEGOTIATION': 'CHARGING',
    'RENEGOTIATED': 'RENEGOTIATION',
    'STOPPED': 'CHARGING',
    'WELDING_DETECTION': 'STOPPED',
    'ENDED': 'WELDING_DETECTION',
    'PAUSED': 'STOPPED',
}
STATES = tuple(WAY)


def bring_to(state, bench=None, **settings):
    """Return a bench whose session waits in `state`."""
    bench = bench or Iso2Bench(**settings)
    bench.open()
    bench.negotiate()
    go_on(bench, 'SESSION_SETUP', state)
    return bench


def go_on(bench, state, until):
    """Lead a session from one state to a later one."""
    way = [until]
    while way[0] != state:
        way.insert(0, WAY[way[0]])

    def run_cable_check():
        bench.pilot = PilotState.C
        bench.step()
        while bench.ask(cable_check()).evse_processing is iso2.EVSEProcessing.ONGOING:
            bench.advance(0.2)

    def stop():
        bench.ask(power_delivery(STOP))
        bench.pilot = PilotState.B
        bench.step()

    steps = {
        'SERVICE_DISCOVERY': lambda: bench.ask(setup(), session_id=bytes(1)),
        'SERVICES': lambda: bench.ask(discovery()),
        'AUTHORIZATION': lambda: bench.ask(selection()),
        'PARAMETERS': lambda: bench.ask(authorization()),
        'CABLE_CHECK': lambda: bench.ask(charge_parameters()),
        'PRE_CHARGE': run_cable_check,
        'PRE_CHARGED': lambda: bench.ask(pre_charge()),
        'STARTED': lambda: bench.ask(power_delivery()),
        'CHARGING': lambda: bench.ask(current_demand()),
        'RENEGOTIATION': lambda: bench.ask(power_delivery(RENEGOTIATE)),
        'RENEGOTIATED': lambda: bench.ask(charge_parameters()),
        'STOPPED': stop,
        'WELDING_DETECTION': lambda: bench.ask(welding_detection()),
        'ENDED': lambda: bench.ask(session_stop()),
        'PAUSED': lambda: bench.ask(session_stop(PAUSE)),
    }
    for name in way[1:]:
        steps[name]()
