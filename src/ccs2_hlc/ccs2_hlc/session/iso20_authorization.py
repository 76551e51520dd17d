"""ISO 15118-20: who pays, by external means or by contract; certificates and signed readings."""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Mapping

from ccs2_pki.certificate import PublicKey
from ccs2_pki.profiles import ISO20, ISO20_INTEROPERABILITY
from ccs2_pki.signatures import ISO2_SUITES, ISO20_SUITES

from ..exi.messages.iso20 import common
from .back_office import BackOfficeAction, BackOfficeAnswer
from .context import Context
from .contract import check_signature, judge_contract
from .engine import Answer, Refused
from .iso20_common import Iso20Common, State
from .iso20_responses import meter_info
from .station import ContractPayment, Decision, Snapshot
from .triggers import Condition, Trigger
from .views import AuthorizationKind

_EIM, _PNC = common.Authorization.EIM, common.Authorization.PNC
_R = common.ResponseCode
#: As many as the charge loop tells in the time that a vehicle has to confirm one.
READINGS_KEPT = 256
#: What the back office's own refusals say; any other is that there is no certificate.
_BACK_OFFICE_CODES: Mapping[common.ResponseCode, Trigger] = {
    _R.WARNING_CERTIFICATE_EXPIRED: Trigger.CERTIFICATE_EXPIRED,
    _R.WARNING_CERTIFICATE_NOT_YET_VALID: Trigger.CERTIFICATE_NOT_YET_VALID,
    _R.WARNING_CERTIFICATE_REVOKED: Trigger.CERTIFICATE_REVOKED,
    _R.WARNING_CERTIFICATE_VALIDATION_ERROR: Trigger.CERTIFICATE_CHAIN,
    _R.WARNING_NO_CONTRACT_MATCHING_PCID_FOUND: Trigger.CONTRACT_CANCELED,
}


class Iso20Authorization(Iso20Common):
    """The handlers of the authorization, and of what a contract is needed for."""

    REFUSED_BY_CODE = frozenset({
        'AuthorizationReq/PnC_AReqAuthorizationMode/GenChallenge',
        'AuthorizationReq/PnC_AReqAuthorizationMode/ContractCertificateChain/Certificate',
        'AuthorizationReq/PnC_AReqAuthorizationMode/ContractCertificateChain/SubCertificates'
        '/Certificate',
    })

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        #: What is offered, the first preferred.
        self.authorization_services: tuple[common.Authorization, ...] = (_EIM,)
        self.offers_certificates = False
        # The vehicle is told to wait, and asks again.
        self.back_office_time = self.timing.ongoing
        #: Bound to this session; serves until that is authorized, and not for long.
        self.challenge: bytes | None = None
        self._challenge_until = 0.0
        #: What has proven that a contract is the vehicle's own.
        self._proof: common.PnCAReqAuthorizationMode | None = None
        #: With what the vehicle waits for a decision: a contract's id, '' without one.
        self._presented: str | None = None
        #: The back office's response, as far as it may be passed on.
        self.installation: common.CertificateInstallationRes | None = None
        #: Monotonic time at which the back office was asked, ``None``: it was not.
        self._asked_at: float | None = None
        #: The reading that is told now.
        self.meter_info: common.MeterInfo | None = None
        self.confirmation_wanted = False
        #: What was told since then: any of it may the vehicle confirm by its signature.
        self._confirmable: deque[common.MeterInfo] = deque(maxlen=READINGS_KEPT)
        #: The schedule that the vehicle has chosen, ``None``: the station leads.
        self.schedule_number: int | None = None
        self.confirmation_due = 0.0

    def authorization_setup(
        self, request: common.AuthorizationSetupReq, snapshot: Snapshot,
    ) -> Answer:
        """Offer contracts if any can be checked [V2G20-2566], with a challenge [V2G20-2608]."""
        trust = snapshot.trust
        if (
            self.station.contract_payment is not ContractPayment.OFF
            and trust is not None and not trust.doubt
        ):
            self.authorization_services = (_PNC, _EIM)
            self.challenge = self.context.new_challenge()
            self._challenge_until = snapshot.now + self.timing.challenge
            self.offers_certificates = self.station.certificate_service
        return Answer()

    def authorize(self, request: common.AuthorizationReq, snapshot: Snapshot) -> Answer:
        """Say whether the vehicle may charge, or let it wait; after a warning it may try again."""
        kind = request.selected_authorization_service
        contract = request.pnc_a_req_authorization_mode
        self.message = ''
        if kind not in self.authorization_services or (kind is _PNC) is (contract is None):
            return self._warning(Trigger.AUTHORIZATION_NOT_OFFERED)
        if contract is None:
            self._forget_contract()
            self.authorization = AuthorizationKind.EXTERNAL
            return self._decide(snapshot, Trigger.AUTHORIZATION_DENIED)
        self.authorization = AuthorizationKind.CONTRACT
        if self.contract_key is not None and contract == self._proof:
            # The vehicle only asks whether the decision has been made.
            self._check_proof(request, contract, self.contract_key)
            return self._decide(snapshot, Trigger.CONTRACT_DENIED)
        self._forget_contract()
        return self._check_contract(request, contract, snapshot)

    def certificate_installation(
        self, request: common.CertificateInstallationReq, snapshot: Snapshot,
    ) -> Answer:
        """Pass the request on to the back office; the vehicle asks again until that answers."""
        if not self.offers_certificates:
            raise Refused(Trigger.OUT_OF_SEQUENCE)
        self.installation, self.message = None, ''
        if self._asked_at is None:
            self.back_office, self._asked_at = BackOfficeAction.INSTALL, snapshot.now
            return Answer(Condition.AUTHORIZING)
        answer, asked = snapshot.back_office, snapshot.now - self._asked_at
        if answer is None and asked < self.timing.ongoing:
            return Answer(Condition.AUTHORIZING)
        self._asked_at = None
        # The time of the back office is not the vehicle's.
        self._challenge_until += min(asked, self.timing.ongoing)
        if answer is None:
            return self._warning(Trigger.BACK_OFFICE_LATE)
        return Answer(trigger=self._take_over(answer), then=State.AUTHORIZATION)

    def metering_confirmation(
        self, request: common.MeteringConfirmationReq, snapshot: Snapshot,
    ) -> Answer:
        """Check that the vehicle has signed a reading that it was sent."""
        data = request.signed_metering_data
        if not self.confirmation_wanted or self.contract_key is None:
            raise Refused(Trigger.OUT_OF_SEQUENCE)
        if data.session_id != self.session_id:
            raise Refused(Trigger.RECEIPT_SESSION)
        if data.meter_info not in self._confirmable:
            raise Refused(Trigger.RECEIPT, 'another reading')
        chosen = data.scheduled_smdt_control_mode
        if (None if chosen is None else chosen.selected_schedule_tuple_id) != self.schedule_number:
            raise Refused(Trigger.RECEIPT, 'another schedule')
        wrong = self._check_signed('SignedMeteringData', data, request, self.contract_key)
        if wrong:
            raise Refused(Trigger.RECEIPT, wrong)
        self.want_no_confirmation()
        self.confirmation_due = snapshot.now + self.station.receipt_interval
        return Answer(then=self.state)

    # What the handlers share.

    def read_meter(self, requested: bool, bidirectional: bool, snapshot: Snapshot) -> None:
        """Tell the reading if the vehicle wants it [V2G20-1081] or shall confirm it."""
        info = meter_info(snapshot.meter, self.unix_time(), bidirectional)
        if (self.contract_key is not None and self.station.receipt_interval > 0.0
                and info is not None and snapshot.now >= self.confirmation_due):
            self.confirmation_wanted = True
        self.meter_info = info if requested or self.confirmation_wanted else None
        if self.confirmation_wanted and info is not None and info not in self._confirmable:
            self._confirmable.append(info)

    def want_no_confirmation(self) -> None:
        """Ask for none any more."""
        self.confirmation_wanted = False
        self._confirmable.clear()

    def _check_contract(
        self, request: common.AuthorizationReq, contract: common.PnCAReqAuthorizationMode,
        snapshot: Snapshot,
    ) -> Answer:
        if self.challenge is None or not hmac.compare_digest(
                self.challenge, contract.gen_challenge):
            return self._warning(Trigger.CHALLENGE)
        if snapshot.now >= self._challenge_until:
            self.message = f'challenge answered after {self.timing.challenge:g} s'
            return self._warning(Trigger.CHALLENGE)
        if snapshot.trust is None:
            return self._warning(Trigger.CERTIFICATE_UNCHECKED)
        chain = contract.contract_certificate_chain
        judgement = judge_contract(
            snapshot.trust, ISO20_INTEROPERABILITY if self.station.accept_p256 else ISO20,
            None, (chain.certificate, *chain.sub_certificates.certificate))
        if judgement.key is None:
            self.message = judgement.detail
            return self._warning(judgement.trigger)
        self._check_proof(request, contract, judgement.key)
        self.contract_key, self._proof = judgement.key, contract
        self.contract_id = judgement.emaid
        return self._decide(snapshot, Trigger.CONTRACT_DENIED, judgement.trigger)

    def _decide(
        self, snapshot: Snapshot, denied: Trigger, accepted: Trigger = Trigger.ACCEPTED,
    ) -> Answer:
        """Return whether the session is authorized."""
        if self.contract_id != self._presented:
            self._presented = self.contract_id
            self.cancel(Trigger.AUTHORIZATION_TIMEOUT)
        decision = self.context.decision_about(self.contract_id)
        contract = self.authorization is AuthorizationKind.CONTRACT
        if (contract and decision is Decision.WAITING
                and self.station.contract_payment is ContractPayment.LOCAL):
            decision = Decision.GRANTED
        if decision is Decision.WAITING:
            self.start(
                Trigger.AUTHORIZATION_TIMEOUT, snapshot.now,
                self.timing.ongoing if contract else self.station.authorization_timeout)
            return Answer(Condition.AUTHORIZING, accepted)
        if decision is Decision.DENIED:
            return self._warning(denied)
        self.cancel(Trigger.AUTHORIZATION_TIMEOUT)
        self.authorized, self.challenge = True, None
        return Answer(trigger=accepted)

    def _warning(self, trigger: Trigger) -> Answer:
        self.cancel(Trigger.AUTHORIZATION_TIMEOUT)
        return Answer(trigger=trigger, then=State.AUTHORIZATION)

    def _forget_contract(self) -> None:
        self.contract_key = self._proof = None
        self.contract_id = ''

    def _check_proof(
        self, request: common.AuthorizationReq, contract: common.PnCAReqAuthorizationMode,
        key: PublicKey,
    ) -> None:
        wrong = self._check_signed('PnC_AReqAuthorizationMode', contract, request, key)
        if wrong:
            raise Refused(Trigger.SIGNATURE, wrong)

    def _check_signed(
        self, name: str, element: common.PnCAReqAuthorizationMode | common.SignedMeteringData,
        request: common.V2GRequest, key: PublicKey,
    ) -> str:
        """Return what is wrong with the contract's signature over an element, '' if nothing."""
        suites = ISO20_SUITES + (ISO2_SUITES if self.station.accept_p256 else ())
        result = check_signature(
            'iso20-common', name, element, element.id, request.header.signature, key, suites)
        return '' if result.accepted else result.reason

    def _take_over(self, answer: BackOfficeAnswer) -> Trigger:
        """Keep the back office's answer if it can be passed on; return what it comes to.

        Raise :class:`Refused` if it finds the vehicle's signature wrong.
        """
        message = answer.message
        if not isinstance(message, common.CertificateInstallationRes):
            self.message = answer.problem or f'answer is {type(message).__name__}'
            return Trigger.BACK_OFFICE_REFUSED
        code = message.response_code
        if code is _R.FAILED_SIGNATURE_ERROR:
            raise Refused(Trigger.SIGNATURE, 'by the back office')
        if not code.value.startswith('OK'):
            self.message = code.value
            return _BACK_OFFICE_CODES.get(code, Trigger.BACK_OFFICE_REFUSED)
        if message.header.signature is None:
            self.message = 'answer of the back office is not signed'
            return Trigger.BACK_OFFICE_REFUSED
        self.installation = message
        return Trigger.ACCEPTED
