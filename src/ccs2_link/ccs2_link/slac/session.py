"""One car's matching run as the station sees it, from CM_START_ATTEN_CHAR to CM_SLAC_MATCH."""

from __future__ import annotations

import enum
import math

from ccs2_link.homeplug.layout import Message
from ccs2_link.homeplug.messages import (
    NO_STATION,
    CmAttenCharInd,
    CmAttenCharRsp,
    CmSlacMatchReq,
    CmStartAttenCharInd,
    CmValidateCnf,
    CmValidateReq,
    ValidateResult,
)
from ccs2_link.slac.attenuation import Calibration, ProfileSum
from ccs2_link.slac.contract import Pilot, PilotState
from ccs2_link.slac.timing import (
    C_EV_MATCH_RETRY,
    TT_EVSE_MATCH_MNBC,
    TT_EVSE_MATCH_SESSION,
    TT_MATCH_RESPONSE,
    TT_MATCH_SEQUENCE,
    VALIDATE_TIMER_UNIT,
)

MAX_RESTARTS = 10
"""A car that starts its run over more often than this is not served again in this plug-in."""
TT_EVSE_VALD_TOGGLE = 3.5
"""A window for BCB toggles is cut to this length [s]."""

SessionKey = tuple[bytes, bytes]
"""MAC address of the car and run id."""


class Stage(enum.IntEnum):
    """How far a run has come."""

    RESTARTED = 0
    """Asked again for parameters; the announcement of sounds is awaited."""
    SOUNDING = 1
    REPORTED = 2
    """The attenuation was sent; the car's confirmation is awaited."""
    ACCEPTED = 3
    """The car knows its attenuation; it may validate or match."""
    TOGGLING = 4
    """BCB toggles are being counted."""


class Session:
    """A run of one car. Methods return the messages to send to that car.

    `ended` tells, once the run is over without a match, why.
    """

    __slots__ = (
        '_announced', '_calibration', '_reports', '_restarts', '_sum', '_toggles_before',
        '_validation_ready', 'deadline', 'ended', 'key', 'profile', 'stage', 'started',
    )

    def __init__(
        self, now: float, key: SessionKey, start: CmStartAttenCharInd, calibration: Calibration
    ) -> None:
        """Begin with the car's first valid announcement of sounds."""
        self.key = key
        self._calibration = calibration
        self._restarts = 0
        self.begin(now, start)

    def begin(self, now: float, start: CmStartAttenCharInd) -> None:
        """Open the sounding window."""
        self.stage = Stage.SOUNDING
        self.started = now
        self.deadline = now + TT_EVSE_MATCH_MNBC
        self.ended = ''
        self.profile: tuple[int, ...] = ()
        self._announced = start.num_sounds
        self._sum = ProfileSum()
        self._reports = 0
        self._toggles_before = 0
        self._validation_ready = False

    @property
    def sounds(self) -> int:
        """Profiles that the modem measured in this run."""
        return self._sum.count

    def restart(self, now: float) -> bool:
        """Start over because the car asked for parameters again; False if it did too often."""
        self._restarts += 1
        if self._restarts > MAX_RESTARTS:
            self._end('started over too often')
            return False
        self.stage = Stage.RESTARTED
        self.deadline = now + TT_MATCH_SEQUENCE
        return True

    def on_profile(self, now: float, groups: bytes) -> list[Message]:
        """Add one measured sound; the last announced one closes the window."""
        if self.stage is not Stage.SOUNDING:
            return []
        self._sum.add(groups)
        return self._report(now) if self._sum.count >= self._announced else []

    def on_confirmation(self, now: float, message: CmAttenCharRsp) -> None:
        """Take the car's confirmation; a wrong one is not taken, so that the report is repeated."""
        valid = (
            self.stage is Stage.REPORTED
            and message.source_address == self.key[0]
            and message.source_id == message.resp_id == NO_STATION
            and message.result == 0
        )
        if valid:
            self.stage = Stage.ACCEPTED
            self.deadline = now + TT_EVSE_MATCH_SESSION

    def on_validate(
        self, now: float, message: CmValidateReq, pilot: Pilot, free: bool
    ) -> list[Message]:
        """Answer step 1, or start to count for step 2; `free` if no other run counts toggles."""
        if self.stage is not Stage.ACCEPTED or message.signal_type != 0:
            return []
        if message.result != ValidateResult.READY:
            return []
        if message.timer == 0 or not self._validation_ready:
            self._validation_ready = free and pilot.state is PilotState.B
            ready = ValidateResult.READY if self._validation_ready else ValidateResult.NOT_READY
            return [CmValidateCnf(result=ready)]
        self.stage = Stage.TOGGLING
        self._toggles_before = pilot.toggles
        window = (message.timer + 1) * VALIDATE_TIMER_UNIT
        self.deadline = now + min(window, TT_EVSE_VALD_TOGGLE)
        return []

    def accepts(self, message: CmSlacMatchReq, own_mac: bytes) -> bool:
        """Tell whether this CM_SLAC_MATCH.REQ may end the run with a match."""
        return (
            self.stage is Stage.ACCEPTED
            and message.application_type == message.security_type == 0
            and message.pev_id == message.evse_id == NO_STATION
            and message.pev_mac == self.key[0]
            and message.evse_mac == own_mac
        )

    def tick(self, now: float, pilot: Pilot) -> list[Message]:
        """Do what is due."""
        if now < self.deadline:
            return []
        if self.stage is Stage.SOUNDING:
            return self._report(now)
        if self.stage is Stage.REPORTED and self._reports <= C_EV_MATCH_RETRY:
            return self._report(now)
        if self.stage is Stage.TOGGLING:
            return self._toggled(now, pilot)
        self._end(_SILENCE[self.stage])
        return []

    def _report(self, now: float) -> list[Message]:
        if not self._sum.count:
            self._end('no sound was heard')
            return []
        self.stage = Stage.REPORTED
        self._reports += 1
        self.deadline = now + TT_MATCH_RESPONSE
        self.profile = self._calibration.apply(self._sum.averages())
        mac, run_id = self.key
        return [
            CmAttenCharInd(
                source_address=mac,
                run_id=run_id,
                num_sounds=self._sum.count,
                groups=bytes(self.profile),
            )
        ]

    def _toggled(self, now: float, pilot: Pilot) -> list[Message]:
        toggles = max(0, min(pilot.toggles - self._toggles_before, 255))
        if toggles:
            result = ValidateResult.SUCCESS
            self.stage = Stage.ACCEPTED
            self._validation_ready = False
            self.deadline = now + TT_MATCH_SEQUENCE
        else:
            result = ValidateResult.FAILURE
            self._end('no BCB toggle was seen')
        return [CmValidateCnf(toggle_num=toggles, result=result)]

    def _end(self, reason: str) -> None:
        self.ended = reason
        self.deadline = math.inf


_SILENCE = {
    Stage.RESTARTED: 'sounds were not announced',
    Stage.REPORTED: 'the attenuation was not confirmed',
    Stage.ACCEPTED: 'no match was asked for',
}
