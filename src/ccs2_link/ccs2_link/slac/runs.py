"""The matching runs of all cars that a station hears at once, in a fixed number of places."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable

from ccs2_link.homeplug.layout import Message
from ccs2_link.homeplug.messages import (
    CmAttenCharRsp,
    CmAttenProfileInd,
    CmMnbcSoundInd,
    CmSlacMatchReq,
    CmSlacParmCnf,
    CmSlacParmReq,
    CmStartAttenCharInd,
    CmValidateReq,
)
from ccs2_link.slac.attenuation import Calibration, mean
from ccs2_link.slac.contract import Pilot
from ccs2_link.slac.session import Session, SessionKey, Stage
from ccs2_link.slac.timing import TT_MATCH_SEQUENCE

MAX_PENDING = 4096
"""Answered CM_SLAC_PARM.REQ that may still go on: more than GreenPHY carries in 400 ms."""
MAX_SESSIONS = 32
MAX_REFUSED = 64


class Runs:
    """Serves every car up to the point where it asks to be matched.

    A request for parameters takes one small entry for 400 ms, so that strangers, however many,
    do not push out a car. A car that has announced its sounds has a place of its own; when all
    are taken, the oldest run of which the modem has not measured a single sound gives way.
    """

    def __init__(
        self,
        own_mac: bytes,
        calibration: Calibration,
        max_attenuation: float,
        send: Callable[[bytes, Message], None],
        counters: Counter[str],
    ) -> None:
        """Answer cars through `send(destination, message)`; count what goes wrong."""
        self.stage = Stage.RESTARTED
        """The furthest that any run has come since `clear` or `go_on`."""
        self._own_mac = own_mac
        self._calibration = calibration
        self._max_attenuation = max_attenuation
        self._send = send
        self._counters = counters
        self._pending: OrderedDict[SessionKey, float] = OrderedDict()
        self._sessions: dict[SessionKey, Session] = {}
        self._refused: set[SessionKey] = set()

    def __len__(self) -> int:
        """Count the runs that have announced sounds."""
        return len(self._sessions)

    @property
    def pending_until(self) -> float:
        """Until when a car that was answered may announce its sounds, -infinity if none may."""
        return next(reversed(self._pending.values()), -math.inf) + TT_MATCH_SEQUENCE

    def clear(self) -> None:
        """End all runs."""
        self._pending.clear()
        self._sessions.clear()
        self.stage = Stage.RESTARTED

    def go_on(self) -> None:
        """Begin anew after all runs have failed; who was answered just now may still go on."""
        self.stage = Stage.RESTARTED

    def forgive(self) -> None:
        """Serve again, after a new plug-in, who was refused."""
        self._refused.clear()

    def on_parm(self, now: float, source: bytes, message: CmSlacParmReq) -> bool:
        """Answer a car's CM_SLAC_PARM.REQ."""
        key = (source, message.run_id)
        if message.application_type or message.security_type or key in self._refused:
            return False
        session = self._sessions.get(key)
        if session is None:
            self._remember(now, key)
        elif not session.restart(now):
            self._close(session)
            if len(self._refused) < MAX_REFUSED:
                self._refused.add(key)
            return False
        self._send(source, CmSlacParmCnf(forwarding_sta=source, run_id=message.run_id))
        return True

    def on_start(self, now: float, source: bytes, message: CmStartAttenCharInd) -> bool:
        """Open the sounding of a car that was answered at most 400 ms ago."""
        if message.application_type or message.security_type or message.resp_type != 1:
            return False
        if not message.num_sounds or not message.time_out:
            return False
        key = (source, message.run_id)
        session = self._sessions.get(key)
        if session is not None:
            if session.stage is Stage.RESTARTED and now <= session.deadline:
                session.begin(now, message)
                self._reached(session)
            return True
        answered = self._pending.pop(key, -math.inf)
        if now - answered > TT_MATCH_SEQUENCE or not self._make_room():
            return False
        session = self._sessions[key] = Session(now, key, message, self._calibration)
        self._reached(session)
        return True

    def on_sound(self, now: float, source: bytes, message: CmMnbcSoundInd) -> bool:
        """Note that a run is sounding; what counts is how the modem heard it."""
        return (source, message.run_id) in self._sessions

    def on_profile(self, now: float, message: CmAttenProfileInd) -> bool:
        """Add what the own modem measured; it names the car but not the run."""
        sounding = [
            session
            for session in self._sessions.values()
            if session.key[0] == message.pev_mac and session.stage is Stage.SOUNDING
        ]
        if not sounding:
            return False
        session = max(sounding, key=lambda each: each.started)
        self._answer(session, session.on_profile(now, message.groups))
        return True

    def on_confirmation(self, now: float, source: bytes, message: CmAttenCharRsp) -> bool:
        """Take a car's CM_ATTEN_CHAR.RSP."""
        session = self._sessions.get((source, message.run_id))
        if session is None or message.application_type or message.security_type:
            return False
        session.on_confirmation(now, message)
        self._reached(session)
        return True

    def on_validate(
        self, now: float, source: bytes, message: CmValidateReq, pilot: Pilot
    ) -> bool:
        """Answer CM_VALIDATE.REQ, which names no run: it is for the car's latest accepted one."""
        accepted = [
            session
            for session in self._sessions.values()
            if session.key[0] == source and session.stage is Stage.ACCEPTED
        ]
        if not accepted:
            return False
        session = max(accepted, key=lambda each: each.started)
        free = all(each.stage is not Stage.TOGGLING for each in self._sessions.values())
        self._answer(session, session.on_validate(now, message, pilot, free))
        return True

    def chosen(self, source: bytes, message: CmSlacMatchReq) -> Session | None:
        """Return the run that this CM_SLAC_MATCH.REQ ends with a match, None if it ends none."""
        session = self._sessions.get((source, message.run_id))
        if session is None or not session.accepts(message, self._own_mac):
            return None
        if mean(session.profile) > self._max_attenuation:
            self._counters['matches refused, attenuation too high'] += 1
            return None
        return session

    def tick(self, now: float, pilot: Pilot) -> None:
        """Do what is due in every run."""
        for session in list(self._sessions.values()):
            self._answer(session, session.tick(now, pilot))

    def deadline(self) -> float:
        """Return when `tick` is due, infinity if never."""
        return min((session.deadline for session in self._sessions.values()), default=math.inf)

    def _remember(self, now: float, key: SessionKey) -> None:
        self._pending[key] = now
        self._pending.move_to_end(key)
        oldest = next(iter(self._pending))
        while now - self._pending[oldest] > TT_MATCH_SEQUENCE or len(self._pending) > MAX_PENDING:
            del self._pending[oldest]
            oldest = next(iter(self._pending))

    def _make_room(self) -> bool:
        if len(self._sessions) < MAX_SESSIONS:
            return True
        unheard = [session for session in self._sessions.values() if not session.sounds]
        if not unheard:
            return False
        del self._sessions[min(unheard, key=lambda each: each.started).key]
        self._counters['runs failed, pushed out'] += 1
        return True

    def _answer(self, session: Session, messages: Iterable[Message]) -> None:
        for message in messages:
            self._send(session.key[0], message)
        self._reached(session)
        if session.ended:
            self._close(session)

    def _reached(self, session: Session) -> None:
        self.stage = max(self.stage, session.stage)

    def _close(self, session: Session) -> None:
        self._counters[f'runs failed, {session.ended}'] += 1
        del self._sessions[session.key]
