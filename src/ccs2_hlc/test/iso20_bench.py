"""A vehicle by ISO 15118-20 (DC and DC_BPT) on the session bench."""

from dataclasses import replace

from iso2_bench import Iso2Bench

from ccs2_hlc import exi
from ccs2_hlc.exi.messages.iso20 import common, dc
from ccs2_hlc.session.command import ENERGISED
from ccs2_hlc.session.iso20 import SIDE_STREAMS
from ccs2_hlc.session.iso20_codes import CODES, RESPONSES
from ccs2_hlc.session.station import PilotState
from ccs2_hlc.session.transport import LinkState, Security

OFFER = ('urn:iso:std:iso:15118:-20:DC', 1, 0, 1, 1)
CAR, OTHER_CAR = bytes(range(64)), bytes(64)
COMMON, DC = 0x8002, 0x8004
RENEGOTIATION, METERING, PARKING = SIDE_STREAMS
EIM, PNC = common.Authorization
ONGOING = common.Processing.ONGOING
FINISHED = common.Processing.FINISHED
START, STOP, STANDBY, NEW_SCHEDULE = common.ChargeProgress
PAUSE, TERMINATE, NEW_SERVICE = common.ChargingSession
R = common.RationalNumber.of
BIDIRECTIONAL = {'maximum_discharge_current': 100.0, 'maximum_discharge_power': 30_000.0}


class Iso20Bench(Iso2Bench):
    """The bench with a bidirectional power stage and a verified vehicle certificate."""

    def __init__(self, certificate=CAR, service=2, dynamic=False, shared=0, **settings):
        self.certificate = certificate
        self.service, self.dynamic = service, dynamic
        #: Number of the parameter set in which the station tells needs, too; 0: another one.
        self.shared = shared
        super().__init__(security=settings.pop('security', Security.TLS_1_3_MUTUAL), **settings)
        self.power = replace(self.power, **BIDIRECTIONAL)

    @property
    def bidirectional(self):
        return self.service == 6

    def open(self):
        self.connection = replace(self.connection, vehicle_certificate_digest=self.certificate)
        super().open()

    def listen(self):
        super().listen()
        self.connection = replace(self.connection, vehicle_certificate_digest=self.certificate)

    def negotiate(self, *offers):
        return super().negotiate(*(offers or (OFFER,)))

    def check(self):
        """What must hold at every moment."""
        command, session = self.secc.command(self.now), self.secc.session()
        if command.mode in ENERGISED:
            assert session.stage.name not in ('FAILED', 'FINISHED', 'PAUSED', 'IDLE', 'PROTOCOL')
            assert self.connection.state is LinkState.OPEN
            assert self.connection.security is Security.TLS_1_3_MUTUAL
        if command.target_voltage is not None:
            assert 0.0 <= command.target_voltage <= self.power.maximum_voltage
            assert command.target_voltage <= (command.maximum_voltage or 0.0)
        current = command.target_current
        if current is not None and current >= 0.0:
            assert current <= self.power.maximum_current
            assert current <= (command.maximum_current or 0.0)
        elif current is not None:
            assert session.bidirectional
            assert -current <= (command.maximum_discharge_current or 0.0)
            assert -current <= (self.power.maximum_discharge_current or 0.0)
            # Limits of the power stage that have fallen count from the next request on.
            operator = self.secc.snapshot(self.now).limits.maximum_discharge_current
            assert operator is None or -current <= operator

    def send(self, request, session_id=None, signature=None, payload_type=None):
        """Send a request; return what it gave rise to at once."""
        self.act()
        self.report()
        request.header = common.MessageHeader(
            session_id=self.session_id if session_id is None else session_id,
            time_stamp=1_700_000_000, signature=signature)
        if payload_type is None:
            payload_type = DC if type(request).__module__ == dc.__name__ else COMMON
        self.asked = payload_type
        # Vehicles may send what the schema does not allow.
        return self.deliver(exi.encode(request, validate=False), payload_type)

    def ask(self, request, session_id=None, wait=2.0, signature=None, payload_type=None):
        sent = self.send(request, session_id, signature, payload_type)
        until = self.now + wait
        while not sent and self.now < until:
            before = len(self.sent)
            self.step()
            sent = self.sent[before:]
        if not sent or not sent[0].data:
            return None
        assert sent[0].payload_type == self.asked
        answer = exi.decode(exi.schema_for(self.asked), sent[0].data)
        assert answer == sent[0].message
        assert answer.header.time_stamp == 1_700_000_000
        failure = self.secc._engine.failure
        if failure is not None and answer.response_code is CODES[failure]:
            assert element_name(answer) in RESPONSES.get(failure, [element_name(answer)])
        if isinstance(request, common.SessionSetupReq):
            self.session_id = answer.header.session_id
        return answer

    # Requests that depend on the chosen service.

    def selection(self, service=None, number=None, added=()):
        return common.ServiceSelectionReq(
            header=NO_HEADER,
            selected_energy_transfer_service=common.SelectedService(
                service_id=service or self.service,
                parameter_set_id=number or (self.shared or 2 if self.dynamic else 1)),
            selected_vas_list=common.SelectedServiceList(selected_service=[
                common.SelectedService(service_id=item, parameter_set_id=1)
                for item in added]) if added else None)

    def charge_parameters(self, bidirectional=None, **values):
        limits = {
            'ev_maximum_charge_power': 100_000.0, 'ev_minimum_charge_power': 100.0,
            'ev_maximum_charge_current': 150.0, 'ev_minimum_charge_current': 0.0,
            'ev_maximum_voltage': 420.0, 'ev_minimum_voltage': 200.0}
        kind = dc.DCCPDReqEnergyTransferMode
        if self.bidirectional if bidirectional is None else bidirectional:
            kind = dc.BPTDCCPDReqEnergyTransferMode
            limits |= {
                'ev_maximum_discharge_power': 20_000.0, 'ev_minimum_discharge_power': 0.0,
                'ev_maximum_discharge_current': 60.0, 'ev_minimum_discharge_current': 0.0}
        return dc.DCChargeParameterDiscoveryReq(
            header=NO_HEADER, dc_cpd_req_energy_transfer_mode=kind(**{
                name: R(number) for name, number in (limits | values).items()}))

    def schedule_exchange(self, dynamic=None, departure=None, points=12):
        if self.dynamic if dynamic is None else dynamic:
            return common.ScheduleExchangeReq(
                header=NO_HEADER, maximum_supporting_points=points,
                dynamic_se_req_control_mode=common.DynamicSEReqControlMode(
                    departure_time=departure or 7200, ev_target_energy_request=R(40_000),
                    ev_maximum_energy_request=R(60_000), ev_minimum_energy_request=R(-20_000)))
        return common.ScheduleExchangeReq(
            header=NO_HEADER, maximum_supporting_points=points,
            scheduled_se_req_control_mode=common.ScheduledSEReqControlMode(
                departure_time=departure))

    def charge_loop(
        self, current=100.0, voltage=400.0, target=40_000, maximum=60_000, minimum=-20_000,
        metered=False, display=None, kind=None, **limits,
    ):
        kinds = {
            (2, False): dc.ScheduledDCCLReqControlMode, (2, True): dc.DynamicDCCLReqControlMode,
            (6, False): dc.BPTScheduledDCCLReqControlMode,
            (6, True): dc.BPTDynamicDCCLReqControlMode}
        kind = kind or kinds[self.service, self.dynamic]
        values = {}
        if issubclass(kind, dc.ScheduledCLReqControlMode):
            values = {'ev_target_current': current, 'ev_target_voltage': voltage}
        else:
            values = {
                'ev_target_energy_request': target, 'ev_maximum_energy_request': maximum,
                'ev_minimum_energy_request': minimum, 'ev_maximum_charge_power': 100_000.0,
                'ev_minimum_charge_power': 100.0, 'ev_maximum_charge_current': 150.0,
                'ev_maximum_voltage': 420.0, 'ev_minimum_voltage': 200.0}
            if kind is dc.BPTDynamicDCCLReqControlMode:
                values |= {
                    'ev_maximum_discharge_power': 20_000.0, 'ev_minimum_discharge_power': 0.0,
                    'ev_maximum_discharge_current': 60.0}
        return dc.DCChargeLoopReq(
            header=NO_HEADER, display_parameters=display, meter_info_requested=metered,
            ev_present_voltage=R(self.battery),
            cl_req_control_mode=kind(**{
                name: R(number) for name, number in (values | limits).items()}))

    def profile(self, power=1000.0, schedule=1, dynamic=None, duration=3600, tolerance=None):
        entries = common.EVPowerProfileEntryList(ev_power_profile_entry=[
            common.PowerScheduleEntry(duration=duration, power=R(power))])
        if self.dynamic if dynamic is None else dynamic:
            return common.EVPowerProfile(
                time_anchor=0, dynamic_evppt_control_mode=common.DynamicEVPPTControlMode(),
                ev_power_profile_entries=entries)
        return common.EVPowerProfile(
            time_anchor=0, ev_power_profile_entries=entries,
            scheduled_evppt_control_mode=common.ScheduledEVPPTControlMode(
                selected_schedule_tuple_id=schedule, power_tolerance_acceptance=tolerance))


def element_name(message):
    """Return how the standard calls a message."""
    name = type(message).__name__
    return f'DC_{name[2:]}' if name.startswith('DC') else name


NO_HEADER = common.MessageHeader(session_id=bytes(8), time_stamp=0)


def setup():
    return common.SessionSetupReq(header=NO_HEADER, evcc_id='WMIV1234567890ABCDEX')


def authorization_setup():
    return common.AuthorizationSetupReq(header=NO_HEADER)


def authorization():
    return common.AuthorizationReq(
        header=NO_HEADER, selected_authorization_service=EIM,
        eim_a_req_authorization_mode=common.EIMAReqAuthorizationMode())


def contract(challenge=bytes(16), chain=(b'0', b'0'), kind=PNC):
    return common.AuthorizationReq(
        header=NO_HEADER, selected_authorization_service=kind,
        pnc_a_req_authorization_mode=common.PnCAReqAuthorizationMode(
            id='id1', gen_challenge=challenge,
            contract_certificate_chain=common.ContractCertificateChain(
                certificate=chain[0], sub_certificates=common.SubCertificates(
                    certificate=list(chain[1:])))))


def installation():
    return common.CertificateInstallationReq(
        header=NO_HEADER,
        oem_provisioning_certificate_chain=common.SignedCertificateChain(
            id='id1', certificate=b'\x30'),
        list_of_root_certificate_ids=common.ListOfRootCertificateIDs(root_certificate_id=[
            common.xmldsig.X509IssuerSerial(x509_issuer_name='CN=root', x509_serial_number=1)]),
        maximum_contract_certificate_chains=1)


def discovery(services=None):
    return common.ServiceDiscoveryReq(
        header=NO_HEADER, supported_service_ids=None if services is None else (
            common.ServiceIDList(service_id=list(services))))


def detail(service=2):
    return common.ServiceDetailReq(header=NO_HEADER, service_id=service)


def cable_check():
    return dc.DCCableCheckReq(header=NO_HEADER)


def pre_charge(voltage=380.0, processing=ONGOING):
    return dc.DCPreChargeReq(
        header=NO_HEADER, ev_processing=processing, ev_present_voltage=R(380.0),
        ev_target_voltage=R(voltage))


def power_delivery(progress=START, profile=None, processing=FINISHED):
    return common.PowerDeliveryReq(
        header=NO_HEADER, ev_processing=processing, charge_progress=progress,
        ev_power_profile=profile)


def confirmation(session_id=bytes(8), info=None, schedule=1):
    """Return the request; no `schedule`: the station leads."""
    return common.MeteringConfirmationReq(
        header=NO_HEADER, signed_metering_data=common.SignedMeteringData(
            id='id1', session_id=session_id,
            meter_info=info or dc.MeterInfo(meter_id='M1', charged_energy_reading_wh=1_000_000),
            dynamic_smdt_control_mode=(
                None if schedule else common.DynamicSMDTControlMode()),
            scheduled_smdt_control_mode=None if not schedule else (
                common.ScheduledSMDTControlMode(selected_schedule_tuple_id=schedule))))


def welding_detection(processing=ONGOING):
    return dc.DCWeldingDetectionReq(header=NO_HEADER, ev_processing=processing)


def session_stop(how=TERMINATE):
    return common.SessionStopReq(header=NO_HEADER, charging_session=how)


def check_in():
    return common.VehicleCheckInReq(
        header=NO_HEADER, ev_check_in_status=common.EVCheckInStatus.CHECK_IN,
        parking_method=common.ParkingMethod.MANUAL)


def check_out():
    return common.VehicleCheckOutReq(
        header=NO_HEADER, ev_check_out_status=common.EVCheckOutStatus.CHECK_OUT,
        check_out_time=1_700_000_000)


#: One request of each kind, for a bench.
REQUESTS = {
    common.SessionSetupReq: lambda bench: setup(),
    common.AuthorizationSetupReq: lambda bench: authorization_setup(),
    common.CertificateInstallationReq: lambda bench: installation(),
    common.AuthorizationReq: lambda bench: authorization(),
    common.ServiceDiscoveryReq: lambda bench: discovery(),
    common.ServiceDetailReq: lambda bench: detail(),
    common.ServiceSelectionReq: lambda bench: bench.selection(),
    dc.DCChargeParameterDiscoveryReq: lambda bench: bench.charge_parameters(),
    common.ScheduleExchangeReq: lambda bench: bench.schedule_exchange(),
    dc.DCCableCheckReq: lambda bench: cable_check(),
    dc.DCPreChargeReq: lambda bench: pre_charge(),
    common.PowerDeliveryReq: lambda bench: power_delivery(),
    dc.DCChargeLoopReq: lambda bench: bench.charge_loop(),
    common.MeteringConfirmationReq: lambda bench: confirmation(bench.session_id),
    dc.DCWeldingDetectionReq: lambda bench: welding_detection(),
    common.SessionStopReq: lambda bench: session_stop(),
    common.VehicleCheckInReq: lambda bench: check_in(),
    common.VehicleCheckOutReq: lambda bench: check_out(),
}

#: The way of a regular session, and the states beside it with the state that they are reached from.
WAY = (
    'SESSION_SETUP', 'AUTHORIZATION_SETUP', 'AUTHORIZATION', 'SERVICE_DISCOVERY',
    'SERVICE_DETAIL', 'SERVICE_SELECTION', 'PARAMETERS', 'SCHEDULE_EXCHANGE', 'SCHEDULED',
    'CABLE_CHECK', 'PRE_CHARGE', 'PRE_CHARGED', 'CHARGING', 'STOPPED', 'WELDING_DETECTION',
    'ENDED')
BESIDE = {
    'STARTING': 'PRE_CHARGED', 'LEAVING': 'CHARGING', 'STANDBY': 'CHARGING',
    'RENEGOTIATION': 'CHARGING', 'RENEGOTIATED': 'RENEGOTIATION', 'PAUSED': 'WELDING_DETECTION'}
STATES = (*WAY, *BESIDE)


def bring_to(state, bench=None, **settings):
    """Return a bench whose session waits in `state`."""
    bench = bench or Iso20Bench(**settings)
    bench.open()
    bench.negotiate()
    return lead_to(state, bench)


def lead_to(state, bench, after='SESSION_SETUP'):
    """Lead a session that waits in `after` on to `state`."""
    def begin_cable_check():
        bench.pilot = PilotState.C
        bench.step()
        bench.ask(cable_check())

    def run_cable_check():
        while bench.ask(cable_check()).evse_processing is ONGOING:
            bench.advance(0.2)

    def stop():
        bench.ask(power_delivery(STOP))
        bench.pilot = PilotState.B
        bench.step()

    steps = {
        'AUTHORIZATION_SETUP': lambda: bench.ask(setup()),
        'AUTHORIZATION': lambda: bench.ask(authorization_setup()),
        'SERVICE_DISCOVERY': lambda: bench.ask(authorization()),
        'SERVICE_DETAIL': lambda: bench.ask(discovery()),
        'SERVICE_SELECTION': lambda: bench.ask(detail(bench.service)),
        'PARAMETERS': lambda: bench.ask(bench.selection()),
        'SCHEDULE_EXCHANGE': lambda: bench.ask(bench.charge_parameters()),
        'SCHEDULED': lambda: bench.ask(bench.schedule_exchange()),
        'CABLE_CHECK': begin_cable_check,
        'PRE_CHARGE': run_cable_check,
        'PRE_CHARGED': lambda: bench.ask(pre_charge()),
        'CHARGING': lambda: (bench.ask(power_delivery()), bench.ask(bench.charge_loop())),
        'STOPPED': stop,
        'WELDING_DETECTION': lambda: bench.ask(welding_detection()),
        'ENDED': lambda: bench.ask(session_stop()),
        'STARTING': lambda: bench.ask(power_delivery(processing=ONGOING)),
        'LEAVING': lambda: bench.ask(power_delivery(STOP, processing=ONGOING)),
        'STANDBY': lambda: bench.ask(power_delivery(STANDBY)),
        'RENEGOTIATION': lambda: bench.ask(power_delivery(NEW_SCHEDULE)),
        'RENEGOTIATED': lambda: bench.ask(bench.schedule_exchange()),
        'PAUSED': lambda: bench.ask(session_stop(PAUSE)),
    }
    way, last = [], state
    while last in BESIDE:
        way.insert(0, last)
        last = BESIDE[last]
    for name in (*WAY[WAY.index(after) + 1:WAY.index(last) + 1], *way):
        steps[name]()
    engine = bench.secc._engine
    assert (engine.state.name, engine.failure) == (state, None)
    return bench
