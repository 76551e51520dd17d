"""ISO 15118-2 up to the authorization: session, services, payment, contracts."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Any

from ccs2_pki.certificate import Certificate, PublicKey
from ccs2_pki.profiles import ISO2
from ccs2_pki.signatures import ISO2_SUITES

from ..exi.messages import iso2, xmldsig
from .back_office import BackOfficeAction, BackOfficeAnswer
from .context import Context, Paused
from .contract import check_signature, judge_contract
from .dc_messages import DcMessages
from .engine import Answer, Refused, Reply, Wait
from .iso2_responses import INSTALLATION, UPDATE
from .protocols import ISO_15118_2
from .services import CERTIFICATE_SERVICE, CHARGE_SERVICE
from .station import ContractPayment, Decision, Snapshot
from .transport import Security
from .triggers import Condition, Trigger
from .views import AuthorizationKind

_OPTIONS = {
    iso2.PaymentOption.CONTRACT: AuthorizationKind.CONTRACT,
    iso2.PaymentOption.EXTERNAL_PAYMENT: AuthorizationKind.EXTERNAL,
}
_ALL_SETS = frozenset({INSTALLATION, UPDATE})
_R = iso2.ResponseCode
#: What the back office's own refusals say; any other is that there is no certificate.
_BACK_OFFICE_CODES: Mapping[iso2.ResponseCode, Trigger] = {
    _R.FAILED_SIGNATURE_ERROR: Trigger.SIGNATURE,
    _R.FAILED_CERTIFICATE_EXPIRED: Trigger.CERTIFICATE_EXPIRED,
    _R.FAILED_CERTIFICATE_REVOKED: Trigger.CERTIFICATE_REVOKED,
    _R.FAILED_CERT_CHAIN_ERROR: Trigger.CERTIFICATE_CHAIN,
    _R.FAILED_CONTRACT_CANCELED: Trigger.CONTRACT_CANCELED,
}


class State(Enum):
    """What the station waits for."""

    SESSION_SETUP = 'SessionSetup'
    SERVICE_DISCOVERY = 'ServiceDiscovery'
    SERVICES = 'ServiceDetail or PaymentServiceSelection'
    CERTIFICATES = 'CertificateInstallation, CertificateUpdate or PaymentDetails'
    PAYMENT_DETAILS = 'PaymentDetails'
    AUTHORIZATION = 'Authorization'
    PARAMETERS = 'ChargeParameterDiscovery'
    CABLE_CHECK = 'CableCheck'
    PRE_CHARGE = 'PreCharge'
    PRE_CHARGED = 'PreCharge or PowerDelivery'
    STARTED = 'CurrentDemand or PowerDelivery, for the first time'
    CHARGING = 'CurrentDemand or PowerDelivery'
    RECEIPT = 'MeteringReceipt'
    RENEGOTIATION = 'ChargeParameterDiscovery with power on'
    RENEGOTIATED = 'CableCheck or PowerDelivery with power on'
    STOPPED = 'WeldingDetection, ChargeParameterDiscovery or SessionStop'
    WELDING_DETECTION = 'WeldingDetection again or SessionStop'
    PAUSED = 'nothing until the vehicle comes back'
    ENDED = 'nothing'


class Iso2Payment(DcMessages):
    """The handlers of the first half of a session."""

    REFUSED_BY_CODE = frozenset({
        'V2G_Message/Body/AuthorizationReq/GenChallenge',
        'V2G_Message/Body/PaymentDetailsReq/ContractSignatureCertChain/Certificate',
        'V2G_Message/Body/PaymentDetailsReq/ContractSignatureCertChain/SubCertificates/Certificate',
    })

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        #: What is offered; the first that the vehicle may choose from.
        self.payment_options: tuple[iso2.PaymentOption, ...] = (
            iso2.PaymentOption.EXTERNAL_PAYMENT,)
        self.offers_certificates = False
        #: Outstanding challenge: bound to this session and connection, used once and soon.
        self.challenge: bytes | None = None
        self._challenge_until = 0.0
        self.contract_key: PublicKey | None = None
        self.contract_issuer: Certificate | None = None
        self._joined: Paused | None = None
        #: The challenge that was answered, ``None`` until then.
        self._proven: bytes | None = None
        self._emaid = ''
        self._certificate_sets: frozenset[int] = frozenset()
        #: Header of the request that is being handled.
        self.header = iso2.MessageHeader(session_id=b'')
        #: Somebody else's, over parts of the response that come from there.
        self.response_signature: xmldsig.Signature | None = None

    def open(self, message: iso2.V2GMessage) -> tuple[bytes, Any]:
        """Return session id and request of a message."""
        return message.header.session_id, message.body

    def request(self, message: iso2.V2GMessage, snapshot: Snapshot) -> Reply | None:
        """Handle a request; its header may carry a signature."""
        self.header = message.header
        return super().request(message, snapshot)

    def wrap(self, response: iso2.BodyElement) -> iso2.V2GMessage:
        """Return the message that carries a response; zero stands for no session yet."""
        signature, self.response_signature = self.response_signature, None
        return iso2.V2GMessage(
            header=iso2.MessageHeader(
                session_id=self.session_id or bytes(8), signature=signature),
            body=response)

    # One handler per message.

    def session_setup(self, request: iso2.SessionSetupReq, snapshot: Snapshot) -> Answer:
        """Open a session [V2G2-750], or join the one that this vehicle has paused [V2G2-753]."""
        self.vehicle = replace(self.vehicle, evcc_id=request.evcc_id.hex())
        paused = snapshot.paused
        if paused is not None and paused.protocol is ISO_15118_2 and hmac.compare_digest(
                self.header.session_id, paused.session_id):
            self._joined = paused
            self.session_id = paused.session_id
            return Answer(trigger=Trigger.SESSION_JOINED)
        self.session_id = self.context.new_session_id()
        return Answer(trigger=Trigger.NEW_SESSION)

    def service_discovery(self, request: iso2.ServiceDiscoveryReq, snapshot: Snapshot) -> Answer:
        """Offer charging and the rest; scope and category do not narrow it.

        Contracts are for TLS only [V2G2-634].  A session that is joined keeps its way of payment
        [V2G2-741].
        """
        trust = snapshot.trust
        if (
            self.station.contract_payment is not ContractPayment.OFF
            and self.context.security is not Security.NONE
            and trust is not None and not trust.doubt
        ):
            self.payment_options = tuple(_OPTIONS)
            self.offers_certificates = self.station.certificate_service
        if self._joined is not None:
            self.payment_options = tuple(
                option for option in self.payment_options
                if _OPTIONS[option] is self._joined.authorization) or self.payment_options
        return Answer()

    def service_detail(self, request: iso2.ServiceDetailReq, snapshot: Snapshot) -> Answer:
        """Tell the parameters of a service that was offered."""
        # The charge service is not in the list: there is nothing to tell of it [V2G2-425].
        if request.service_id not in self._listed_services():
            raise Refused(Trigger.SERVICE_UNKNOWN, f'number {request.service_id}')
        return Answer()

    def payment_selection(
        self, request: iso2.PaymentServiceSelectionReq, snapshot: Snapshot,
    ) -> Answer:
        """Take a way of payment [V2G2-465] and services [V2G2-804], [V2G2-467]."""
        if request.selected_payment_option not in self.payment_options:
            raise Refused(Trigger.PAYMENT_NOT_OFFERED, request.selected_payment_option.value)
        selected = request.selected_service_list.selected_service
        if CHARGE_SERVICE not in {service.service_id for service in selected}:
            raise Refused(Trigger.NO_CHARGE_SERVICE)
        offered = {CHARGE_SERVICE: frozenset[int]()} | self._listed_services()
        for service in selected:
            sets = offered.get(service.service_id)
            if sets is None or service.parameter_set_id not in {None, *sets}:
                raise Refused(Trigger.SERVICE_NOT_OFFERED, f'number {service.service_id}')
            if service.service_id == CERTIFICATE_SERVICE:
                chosen = service.parameter_set_id
                self._certificate_sets |= _ALL_SETS if chosen is None else {chosen}
        self.authorization = _OPTIONS[request.selected_payment_option]
        if self.authorization is AuthorizationKind.EXTERNAL:
            return Answer(then=State.AUTHORIZATION)
        return Answer(
            then=State.CERTIFICATES if self._certificate_sets else State.PAYMENT_DETAILS)

    def certificate_installation(
        self, request: iso2.CertificateInstallationReq, snapshot: Snapshot,
    ) -> Answer:
        """Pass the request on to the back office."""
        return self._consult(
            BackOfficeAction.INSTALL, INSTALLATION, iso2.CertificateInstallationRes, snapshot)

    def certificate_update(
        self, request: iso2.CertificateUpdateReq, snapshot: Snapshot,
    ) -> Answer:
        """Pass the request on to the back office."""
        return self._consult(
            BackOfficeAction.UPDATE, UPDATE, iso2.CertificateUpdateRes, snapshot)

    def payment_details(self, request: iso2.PaymentDetailsReq, snapshot: Snapshot) -> Answer:
        """Check the contract; the vehicle has to prove next that it is its own."""
        if snapshot.trust is None:
            raise Refused(Trigger.CERTIFICATE_UNCHECKED)
        chain = request.contract_signature_cert_chain
        below = chain.sub_certificates
        judgement = judge_contract(
            snapshot.trust, ISO2, request.emaid,
            (chain.certificate, *(() if below is None else below.certificate)))
        if judgement.key is None:
            raise Refused(judgement.trigger, judgement.detail)
        self.contract_key, self.contract_issuer = judgement.key, judgement.issuer
        self._emaid = judgement.emaid
        self.challenge = self.context.new_challenge()
        self._challenge_until = snapshot.now + self.timing.challenge
        return Answer(trigger=judgement.trigger)

    def authorize(self, request: iso2.AuthorizationReq, snapshot: Snapshot) -> Answer:
        """Say whether the vehicle may charge, or let it wait."""
        contract = self.authorization is AuthorizationKind.CONTRACT
        if contract and self._proven is None:
            self._check_proof(request, snapshot.now)
        elif contract:
            self._check_repeated(request, self._proven)
        decision, joined = snapshot.authorization, self._joined
        if decision is Decision.WAITING and (
            (contract and self.station.contract_payment is ContractPayment.LOCAL)
            # Who pays has to be the same as before the pause.
            or (joined is not None and joined.authorized
                and joined.authorization is self.authorization
                and joined.contract_id == self.contract_id)
        ):
            decision = Decision.GRANTED
        if decision is Decision.DENIED:
            raise Refused(Trigger.AUTHORIZATION_DENIED)
        if decision is Decision.WAITING:
            self.start(
                Trigger.AUTHORIZATION_TIMEOUT, snapshot.now,
                self.timing.ongoing if contract else self.station.authorization_timeout)
            return Answer(Condition.AUTHORIZING)
        self.cancel(Trigger.AUTHORIZATION_TIMEOUT)
        self.authorized = True
        return Answer()

    # What the handlers share.

    def check_signed(self, name: str, request: Any) -> str:
        """Return what is wrong with the contract's signature over this request, '' if nothing."""
        if self.contract_key is None:
            return 'no contract'
        result = check_signature(
            'iso2', name, request, request.id, self.header.signature, self.contract_key,
            ISO2_SUITES)
        return '' if result.accepted else result.reason

    def _check_proof(self, request: iso2.AuthorizationReq, now: float) -> None:
        challenge, self.challenge = self.challenge, None
        if challenge is None or request.gen_challenge is None or not hmac.compare_digest(
                challenge, request.gen_challenge):
            raise Refused(Trigger.CHALLENGE)
        if now >= self._challenge_until:
            raise Refused(Trigger.CHALLENGE, f'after {self.timing.challenge:g} s')
        self._check_authorization_signed(request)
        self._proven = challenge
        self.contract_id = self._emaid

    def _check_repeated(self, request: iso2.AuthorizationReq, proven: bytes | None) -> None:
        """Only the first request has to be signed [V2G2-684]; what others bring must be right."""
        if request.gen_challenge not in (None, proven):
            raise Refused(Trigger.CHALLENGE, 'not the one that was answered')
        if self.header.signature is not None:
            self._check_authorization_signed(request)

    def _check_authorization_signed(self, request: iso2.AuthorizationReq) -> None:
        wrong = self.check_signed('AuthorizationReq', request)
        if wrong:
            raise Refused(Trigger.SIGNATURE, wrong)

    def _listed_services(self) -> dict[int, frozenset[int]]:
        """Return the numbers in the ServiceList, each with those of its parameter sets."""
        listed = {
            service.number: frozenset(entry.number for entry in service.sets)
            for service in self.station.services}
        if self.offers_certificates:
            listed[CERTIFICATE_SERVICE] = _ALL_SETS
        return listed

    def _consult(
        self, action: BackOfficeAction, needed: int, kind: type[Any], snapshot: Snapshot,
    ) -> Answer:
        if needed not in self._certificate_sets:
            raise Refused(Trigger.OUT_OF_SEQUENCE)
        self.back_office = action

        def ready(later: Snapshot) -> bool:
            if later.back_office is None:
                return False
            self._take_over(later.back_office, kind)
            return True

        return Answer(wait=Wait(
            ready, snapshot.now + self.timing.back_office, Trigger.BACK_OFFICE_LATE))

    def _take_over(self, answer: BackOfficeAnswer, kind: type[Any]) -> None:
        """Check the back office's answer; raise :class:`Refused` if it is not to be passed on."""
        message = answer.message
        body: Any = None if message is None else message.body
        if not isinstance(body, kind):
            raise Refused(
                Trigger.BACK_OFFICE_REFUSED, answer.problem or f'answer is {type(body).__name__}')
        code: iso2.ResponseCode = body.response_code
        if not code.value.startswith('OK'):
            raise Refused(
                _BACK_OFFICE_CODES.get(code, Trigger.BACK_OFFICE_REFUSED), code.value)
        if message.header.signature is None:
            raise Refused(Trigger.BACK_OFFICE_REFUSED, 'answer is not signed')
        self.response_signature = message.header.signature
