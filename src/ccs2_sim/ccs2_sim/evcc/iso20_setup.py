"""The car's side of ISO 15118-20: session, payment, certificates, services, parking."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ccs2_hlc.exi.declare import Element
from ccs2_hlc.exi.messages import xmldsig
from ccs2_hlc.exi.messages.iso20 import common
from ccs2_pki.identifiers import normalize
from ccs2_sim.evcc import iso20_modes, iso20_wallet
from ccs2_sim.evcc.engine import Step
from ccs2_sim.evcc.iso20_base import Iso20Evcc, Way
from ccs2_sim.evcc.outcome import Ended, ErrorCode
from ccs2_sim.evcc.vehicle import Acquisition
from ccs2_sim.evcc.wallet import Credential, Mistrust

#: Message timeout of ServiceDetail and CertificateInstallation, s.
LONG_TIMEOUT = 5.0
#: The Id of the one element that is signed in a request.
SIGNED_ID = 'id1'
#: Number of the value-added service for the parking status.
PARKING_STATUS = 66
_EIM, _PNC = common.Authorization.EIM, common.Authorization.PNC


def _session_setup(evcc: Iso20Evcc) -> Element:
    settings = evcc.settings
    return common.SessionSetupReq(
        header=evcc.header(), evcc_id=settings.vehicle_id or settings.evcc_id.hex().upper())


def _session_set_up(evcc: Iso20Evcc, body: common.SessionSetupRes) -> str:
    if not any(evcc.session_id):
        raise Ended(ErrorCode.REFUSED, 'the station gave the session id zero')
    resumed = evcc.resumed
    old = resumed is not None and evcc.session_id == resumed.session_id
    evcc.joined = body.response_code is common.ResponseCode.OK_OLD_SESSION_JOINED
    if evcc.joined is not old:
        raise Ended(
            ErrorCode.REFUSED, f'SessionSetupRes: {body.response_code.value} with '
            f'{"the old" if old else "another"} session id')
    if not evcc.joined or resumed is None:
        return evcc.go_on('AuthorizationSetup')
    # Authorization and services of a paused session are kept.
    evcc.contract = resumed.contract
    evcc.change_to(resumed.transfer)
    return evcc.go_on('DC_ChargeParameterDiscovery')


# Payment.


def _set_up_authorization(evcc: Iso20Evcc) -> Element:
    return common.AuthorizationSetupReq(header=evcc.header())


def _authorization_set_up(evcc: Iso20Evcc, body: common.AuthorizationSetupRes) -> str:
    told = body.pnc_as_res_authorization_mode
    evcc.challenge = b'' if told is None else told.gen_challenge
    evcc.ways = _ways(evcc, body)
    if not evcc.ways:
        names = ', '.join(each.value for each in body.authorization_services)
        raise Ended(ErrorCode.REFUSED, f'the station offers {names}, not '
                    f'{_EIM.value if evcc.wallet is None else _PNC.value}')
    return _next_way(evcc)


def _ways(evcc: Iso20Evcc, body: common.AuthorizationSetupRes) -> list[Credential | Way]:
    """Return how the car can pay here, in the order in which it tries.

    A contract that it is to install comes first; one that could take the place of those that it
    has, after them. Of those the ones come first whose provider the station names.
    """
    settings, wallet, offered = evcc.settings, evcc.wallet, body.authorization_services
    ways: list[Credential | Way] = []
    if wallet is not None and _PNC in offered:
        had = [each for each in (wallet.contract, *wallet.others) if each is not None]
        had.sort(key=lambda contract: not _is_served(contract, body))
        installs = body.certificate_installation_service and wallet.provisioning is not None
        first = settings.acquisition is Acquisition.INSTALL
        ways = [*([Way.INSTALL] if installs and first else ()), *had,
                *([Way.INSTALL] if installs and not first else ())]
    if _EIM in offered and (wallet is None or settings.eim_fallback):
        ways.append(Way.EXTERNAL)
    return ways


def _is_served(contract: Credential, body: common.AuthorizationSetupRes) -> bool:
    """Return whether the station names the contract's provider, or names none at all."""
    mode = body.pnc_as_res_authorization_mode
    if mode is None or mode.supported_providers is None:
        return True
    own = normalize(contract.name)
    return any(own.startswith(normalize(each)) for each in mode.supported_providers.provider_id)


def _next_way(evcc: Iso20Evcc, refused: str = '') -> str:
    """Return the step for the next way to pay; without one the car leaves."""
    if refused:
        evcc.remarks.append(refused)
    if not evcc.ways:
        evcc.stop(ErrorCode.REFUSED, refused)
        return evcc.go_on('')
    way = evcc.ways.pop(0)
    if way is Way.INSTALL:
        return evcc.go_on('CertificateInstallation')
    evcc.contract = way if isinstance(way, Credential) else None
    return evcc.go_on('Authorization')


def _ask_installation(evcc: Iso20Evcc) -> Element:
    leaf, *sub_cas = evcc.provisioning.chain
    settings, roots = evcc.settings, evcc.wallet.roots if evcc.wallet is not None else ()
    return common.CertificateInstallationReq(
        header=evcc.header(),
        oem_provisioning_certificate_chain=common.SignedCertificateChain(
            id=SIGNED_ID, certificate=leaf,
            sub_certificates=common.SubCertificates(certificate=sub_cas) if sub_cas else None),
        list_of_root_certificate_ids=common.ListOfRootCertificateIDs(root_certificate_id=[
            xmldsig.X509IssuerSerial(
                x509_issuer_name=root.issuer_name, x509_serial_number=root.serial)
            for root in roots]),
        maximum_contract_certificate_chains=settings.most_contracts,
        prioritized_emaids=common.EMAIDList(emaid=list(settings.preferred_contracts))
        if settings.preferred_contracts else None)


def _installed(evcc: Iso20Evcc, body: common.CertificateInstallationRes) -> str:
    if not evcc.is_finished(body.evse_processing):
        return evcc.go_on('CertificateInstallation')
    if body.response_code is not common.ResponseCode.OK:
        return _next_way(evcc, f'CertificateInstallationRes: {body.response_code.value}')
    wallet = evcc.wallet
    if wallet is None:
        raise Ended(ErrorCode.UNKNOWN, 'the car has nowhere to put a contract')
    try:
        contract = iso20_wallet.accept_contract(body, wallet, evcc.provisioning)
    except Mistrust as mistrust:
        raise Ended(ErrorCode.REFUSED, str(mistrust)) from None
    evcc.installed.append(contract)
    more = body.remaining_contract_certificate_chains > 0
    if more and len(evcc.installed) < evcc.settings.most_contracts:
        return evcc.go_on('CertificateInstallation')
    first, *others = evcc.installed
    evcc.wallet = replace(wallet, contract=first, others=tuple(others))
    evcc.ways[:0] = evcc.installed
    return _next_way(evcc)


def _authorize(evcc: Iso20Evcc) -> Element:
    contract = evcc.contract
    if contract is None:
        return common.AuthorizationReq(
            header=evcc.header(), selected_authorization_service=_EIM,
            eim_a_req_authorization_mode=common.EIMAReqAuthorizationMode())
    return common.AuthorizationReq(
        header=evcc.header(), selected_authorization_service=_PNC,
        pnc_a_req_authorization_mode=common.PnCAReqAuthorizationMode(
            id=SIGNED_ID, gen_challenge=evcc.challenge,
            contract_certificate_chain=iso20_wallet.contract_chain(contract.chain)))


def _authorized(evcc: Iso20Evcc, body: common.AuthorizationRes) -> str:
    if not body.response_code.value.startswith('OK'):
        return _next_way(evcc, f'AuthorizationRes: {body.response_code.value}')
    done = evcc.is_finished(body.evse_processing)
    return evcc.go_on('ServiceDiscovery' if done else 'Authorization')


# Services.


def _discover_services(evcc: Iso20Evcc) -> Element:
    known = {iso20_modes.service_of(each) for each in (evcc.transfer, evcc.transfer.charging)}
    if evcc.settings.checks_in:
        known.add(PARKING_STATUS)
    return common.ServiceDiscoveryReq(
        header=evcc.header(),
        supported_service_ids=common.ServiceIDList(service_id=sorted(known)))


def _services_discovered(evcc: Iso20Evcc, body: common.ServiceDiscoveryRes) -> str:
    services = body.energy_transfer_service_list.service
    transfer = evcc.offered(services)
    if transfer is None:
        raise Ended(ErrorCode.REFUSED, 'the station offers energy services '
                    f'{[each.service_id for each in services]}, the car wants '
                    f'{iso20_modes.service_of(evcc.transfer)}')
    evcc.change_to(transfer)
    evcc.changeable = body.service_renegotiation_supported
    added = [] if body.vas_list is None else body.vas_list.service
    parks = evcc.settings.checks_in and any(each.service_id == PARKING_STATUS for each in added)
    evcc.parking_set = None
    return evcc.go_on('ServiceDetailParking' if parks else 'ServiceDetail')


def _ask_parking(evcc: Iso20Evcc) -> Element:
    return common.ServiceDetailReq(header=evcc.header(), service_id=PARKING_STATUS)


def _parking_told(evcc: Iso20Evcc, body: common.ServiceDetailRes) -> str:
    _check_detail(body, PARKING_STATUS)
    evcc.parking_set = body.service_parameter_list.parameter_set[0].parameter_set_id
    return evcc.go_on('ServiceDetail')


def _check_detail(body: common.ServiceDetailRes, service: int) -> None:
    if body.service_id != service:
        raise Ended(ErrorCode.REFUSED, f'details of service {body.service_id}, not asked for')


def _ask_detail(evcc: Iso20Evcc) -> Element:
    return common.ServiceDetailReq(
        header=evcc.header(), service_id=iso20_modes.service_of(evcc.transfer))


def _detail_told(evcc: Iso20Evcc, body: common.ServiceDetailRes) -> str:
    _check_detail(body, iso20_modes.service_of(evcc.transfer))
    found = iso20_modes.parameter_set(
        body.service_parameter_list.parameter_set, evcc.transfer, evcc.settings.shares_needs)
    if found is None:
        raise Ended(ErrorCode.REFUSED, f'no parameter set of service {body.service_id} is '
                    f'for {evcc.transfer.value}')
    evcc.parameter_set = found
    return evcc.go_on('ServiceSelection')


def _select_service(evcc: Iso20Evcc) -> Element:
    return common.ServiceSelectionReq(
        header=evcc.header(),
        selected_energy_transfer_service=common.SelectedService(
            service_id=iso20_modes.service_of(evcc.transfer),
            parameter_set_id=evcc.parameter_set),
        selected_vas_list=None if evcc.parking_set is None else common.SelectedServiceList(
            selected_service=[common.SelectedService(
                service_id=PARKING_STATUS, parameter_set_id=evcc.parking_set)]))


def _service_selected(evcc: Iso20Evcc, body: common.ServiceSelectionRes) -> str:
    parks = evcc.parking_set is not None and not evcc.checked_in
    return evcc.go_on('VehicleCheckIn' if parks else 'DC_ChargeParameterDiscovery')


# Parking.


def _check_in(evcc: Iso20Evcc) -> Element:
    evcc.checking = (
        common.EVCheckInStatus.CHECK_IN if evcc.checking is None
        else common.EVCheckInStatus.COMPLETED)
    return common.VehicleCheckInReq(
        header=evcc.header(), ev_check_in_status=evcc.checking,
        parking_method=common.ParkingMethod.MANUAL)


def _checked_in(evcc: Iso20Evcc, body: common.VehicleCheckInRes) -> str:
    evcc.checked_in = evcc.checking is common.EVCheckInStatus.COMPLETED
    return evcc.go_on('DC_ChargeParameterDiscovery' if evcc.checked_in else 'VehicleCheckIn')


def _check_out(evcc: Iso20Evcc) -> Element:
    return common.VehicleCheckOutReq(
        header=evcc.header(), ev_check_out_status=common.EVCheckOutStatus.CHECK_OUT,
        check_out_time=evcc.unix_time())


def _checked_out(evcc: Iso20Evcc, body: common.VehicleCheckOutRes) -> str:
    if body.evse_check_out_status is not common.EVSECheckOutStatus.COMPLETED:
        return 'VehicleCheckOut'
    evcc.checked_in = False
    return 'SessionStop'


STEPS: tuple[Step[Any], ...] = (
    Step('SessionSetup', _session_setup, _session_set_up, common.SessionSetupRes),
    Step('AuthorizationSetup', _set_up_authorization, _authorization_set_up,
         common.AuthorizationSetupRes),
    Step('CertificateInstallation', _ask_installation, _installed,
         common.CertificateInstallationRes, timeout=LONG_TIMEOUT),
    Step('Authorization', _authorize, _authorized, common.AuthorizationRes),
    Step('ServiceDiscovery', _discover_services, _services_discovered,
         common.ServiceDiscoveryRes),
    Step('ServiceDetailParking', _ask_parking, _parking_told, common.ServiceDetailRes,
         timeout=LONG_TIMEOUT),
    Step('ServiceDetail', _ask_detail, _detail_told, common.ServiceDetailRes,
         timeout=LONG_TIMEOUT),
    Step('ServiceSelection', _select_service, _service_selected, common.ServiceSelectionRes),
    Step('VehicleCheckIn', _check_in, _checked_in, common.VehicleCheckInRes),
    Step('VehicleCheckOut', _check_out, _checked_out, common.VehicleCheckOutRes),
)
