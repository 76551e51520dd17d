"""SLAC for the station (EVSE): from a plugged-in car to one logical network with it.

The core is driven by frames, pilot, modem and time, and answers with frames and status changes.
Whoever is on the line can write any frame, so nothing here grows with what is received, and the
time to match counts from the pilot.
"""

from __future__ import annotations

import enum
import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ccs2_link.homeplug.frame import Frame
from ccs2_link.homeplug.keys import Nmk, nid_of
from ccs2_link.homeplug.layout import Message
from ccs2_link.homeplug.messages import (
    CmAmpMapReq,
    CmAttenCharRsp,
    CmAttenProfileInd,
    CmMnbcSoundInd,
    CmSlacMatchCnf,
    CmSlacMatchReq,
    CmSlacParmReq,
    CmStartAttenCharInd,
    CmValidateReq,
)
from ccs2_link.slac.attenuation import Calibration, mean
from ccs2_link.slac.contract import (
    DataLink,
    LinkState,
    LinkStatus,
    Output,
    Pilot,
    PilotState,
    PilotWish,
    WishKind,
)
from ccs2_link.slac.core import SlacCore
from ccs2_link.slac.local_modem import Key
from ccs2_link.slac.runs import Runs
from ccs2_link.slac.session import Session, Stage
from ccs2_link.slac.timing import (
    C_EV_MATCH_RETRY,
    C_SEQU_RETRY,
    TP_MATCH_LEAVE,
    TT_CONN_RESUME,
    TT_EVSE_SLAC_INIT,
    TT_LINK_STATUS_POLL_JOINING,
    TT_LINK_STATUS_POLL_MATCHED,
    TT_MATCH_JOIN,
    TT_MODEM_RESTART,
)

PILOT_GRACE = TP_MATCH_LEAVE / 2
"""After 5 % duty went off, the upper layer has this long [s] to say that it is a pause."""
STEP_PATIENCE = 4.0
"""The pilot has this long [s] to begin the step that is wished for; without one it goes on."""


@dataclass(frozen=True, slots=True)
class EvseConfig:
    """Settings of a station's SLAC; the defaults are the standard's.

    `init_timeout` [s] is TT_EVSE_SLAC_init. A vehicle has so many `attempts` per plug-in to be
    matched, to join and to begin a session, with a step of the pilot in between unless it only did
    not join; a session that ends regularly gives all of them back.
    A car whose mean attenuation is above `max_attenuation` [dB] is at another station's cable and
    is not matched. After `reset_after` failed matches in a row, of whatever kind, the modem is
    restarted, at most once per plug-in; 0 never does. `amplitude_map` is sent to the car once
    matched.
    """

    init_timeout: float = TT_EVSE_SLAC_INIT
    attempts: int = 1 + C_SEQU_RETRY
    max_attenuation: float = 60.0
    calibration: Calibration = field(default_factory=Calibration)
    keep_key_over_pause: bool = True
    reset_after: int = 3
    amplitude_map: CmAmpMapReq | None = None

    def __post_init__(self) -> None:
        """Raise ValueError naming the setting that is out of range."""
        for name, low, high in (
            ('init_timeout', 10.0, 50.0),
            ('attempts', 1, 10),
            ('max_attenuation', 1.0, 255.0),
            ('reset_after', 0, 1000),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f'{name} is {value}, allowed is {low} to {high}')


class Phase(enum.Enum):
    """What the station is doing."""

    NO_MODEM = enum.auto()
    KEYING = enum.auto()
    """The modem gets a key; the network that it had before is left with that."""
    RESTARTING = enum.auto()
    """The modem has a key, and restarts because of that."""
    IDLE = enum.auto()
    MATCHING = enum.auto()
    JOINING = enum.auto()
    """The car has the key; both modems have to find into one network."""
    MATCHED = enum.auto()
    PAUSED = enum.auto()
    RESUMING = enum.auto()
    """After a pause the modems have to find each other in the network that was kept."""
    FAILED = enum.auto()
    """Waits for a step of the pilot, or has given up until the next plug-in."""


_STATES = {
    Phase.NO_MODEM: LinkState.UNAVAILABLE,
    Phase.KEYING: LinkState.UNMATCHED,
    Phase.RESTARTING: LinkState.UNMATCHED,
    Phase.IDLE: LinkState.UNMATCHED,
    Phase.MATCHING: LinkState.MATCHING,
    Phase.JOINING: LinkState.MATCHING,
    Phase.MATCHED: LinkState.MATCHED,
    Phase.PAUSED: LinkState.UNMATCHED,
    Phase.RESUMING: LinkState.MATCHING,
    Phase.FAILED: LinkState.FAILED,
}
_LINKED = (Phase.MATCHED, Phase.PAUSED, Phase.RESUMING)
"""The vehicle takes itself to be in the network: when that ends without it, it has to be told."""
_JOINED = (Phase.JOINING, *_LINKED)
_WISHES = {
    WishKind.STEP: 'the pilot shall step through state F',
    WishKind.STEADY: 'given up until the vehicle is plugged in anew or toggles',
}
_PROGRESS = {
    Stage.RESTARTED: 'waits for the vehicle',
    Stage.SOUNDING: 'vehicle is sounding',
    Stage.REPORTED: 'attenuation was reported to the vehicle',
    Stage.ACCEPTED: 'vehicle accepted the attenuation',
    Stage.TOGGLING: 'counting BCB toggles',
}


class EvseSlac(SlacCore):
    """The LinkCore of a station with a modem."""

    def __init__(
        self,
        mac: bytes,
        config: EvseConfig | None = None,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
        new_key: Callable[[], Nmk] = Nmk.fresh,
    ) -> None:
        """Speak from the host address `mac`."""
        super().__init__(mac, random)
        self._config = config or EvseConfig()
        self._new_key = new_key
        self._nmk = new_key()
        self._disclosed = False
        self._runs = Runs(
            mac, self._config.calibration, self._config.max_attenuation, self._send, self._counters
        )
        self._phase = Phase.NO_MODEM
        self._due = math.inf
        self._open_until = -math.inf
        self._grace_due = math.inf
        self._hold = False
        self._slept = False
        self._attempts = 0
        self._trouble = ''
        self._peer: Session | None = None
        self._confirmations = 0
        self._failed_in_a_row = 0
        self._reset_in_plug_in = False
        self._handlers: Mapping[type[Message], Callable[[float, bytes, Any], bool]] = {
            CmSlacParmReq: self._on_parm,
            CmStartAttenCharInd: self._runs.on_start,
            CmMnbcSoundInd: self._runs.on_sound,
            CmAttenProfileInd: self._on_profile,
            CmAttenCharRsp: self._runs.on_confirmation,
            CmValidateReq: self._on_validate,
            CmSlacMatchReq: self._on_match,
        }

    # What goes in.

    def modem(self, now: float, ready: bool) -> list[Output]:
        """Take the news that the modem has come up or gone."""
        if not ready:
            if self._phase in _JOINED:
                self._count_failure('modem went away')
            if self._phase in _LINKED:
                self._use_up_attempt('modem went away')
            expected = self._local.settling(now) and not self._disclosed
            self._clear()
            self._local.gone()
            if expected:
                self._due = now + TT_MODEM_RESTART
                self._enter(Phase.RESTARTING, 'modem restarts with its key')
            else:
                self._enter(Phase.NO_MODEM, 'modem is not ready')
        elif self._phase is Phase.RESTARTING:
            self._local.settled(now)
            self._rest(now)
        elif self._phase is Phase.NO_MODEM:
            self._set_key(now, 'modem is up')
        return self._flush()

    def pilot(self, now: float, pilot: Pilot) -> list[Output]:
        """Follow the control pilot: it starts and ends matching."""
        before, self._pilot = self._pilot, pilot
        if not pilot.matchable:
            self._hold = False
        if not pilot.plugged:
            # State E or F is the step that was wished for, anything else makes it pointless.
            self._wish_for(WishKind.NONE)
        if pilot.state in (PilotState.A, PilotState.UNKNOWN) and before.state is not pilot.state:
            self._attempts = 0
            self._reset_in_plug_in = False
            self._runs.forgive()
        toggled = pilot.toggles > before.toggles
        if not pilot.plugged:
            self._stop(now, f'pilot in {pilot.state.name}')
        elif self._phase is Phase.PAUSED:
            self._wake_up(now, toggled)
        elif toggled and self._wish.kind is WishKind.STEADY:
            self._begin_again(now)
        elif pilot.digital:
            self._grace_due = math.inf
            returned = self._phase is Phase.FAILED and not before.matchable
            if returned or self._phase is Phase.IDLE:
                self._rest(now)
        elif self._phase in (Phase.JOINING, Phase.MATCHED):
            self._grace_due = min(self._grace_due, now + PILOT_GRACE)
        elif self._phase is not Phase.RESUMING:
            self._stop(now, '5 % duty is off')
        return self._flush()

    def data_link(self, now: float, request: DataLink) -> list[Output]:
        """Do what the upper layer asks of a matched link; else there is nothing to do."""
        if self._phase in _JOINED:
            if request is not DataLink.ERROR:
                self._attempts = 0
            if request is DataLink.PAUSE and self._config.keep_key_over_pause:
                self._local.stop_watching()
                self._amp_map.close()
                self._grace_due = self._due = math.inf
                self._slept = not self._pilot.digital
                self._enter(Phase.PAUSED, 'paused; the network is kept')
            else:
                why = f'upper layer asked for D-LINK_{request.name}'
                if request is DataLink.ERROR:
                    self._use_up_attempt(why)
                else:
                    self._hold = self._pilot.matchable
                self._leave(now, why)
        return self._flush()

    def reset(self, now: float, reason: str) -> list[Output]:
        """Restart the modem and start again unmatched, even with a vehicle that was given up."""
        self._attempts = 0
        return super().reset(now, reason)

    def tick(self, now: float) -> list[Output]:
        """Do what is due."""
        self._local.tick(now)
        self._amp_map.tick(now)
        self._runs.tick(now, self._pilot)
        self._follow(now)
        if now >= self._grace_due:
            self._leave(now, '5 % duty went off')
        if now >= self._due:
            self._time_out(now)
        return self._flush()

    # What comes out, besides the lists that the methods above return.

    def deadline(self) -> float | None:
        """Return when `tick` has to be called."""
        due = min(
            self._due,
            self._grace_due,
            self._local.deadline(),
            self._amp_map.deadline(),
            self._runs.deadline(),
        )
        return None if due == math.inf else due

    def status(self) -> LinkStatus:
        """Return the present status."""
        peer = self._peer
        mac, run_id = peer.key if peer else (None, None)
        return LinkStatus(
            state=self._state(),
            message=self._message,
            pilot_wish=self._wish,
            peer_mac=mac,
            run_id=run_id,
            nid=nid_of(self._nmk) if self._local.key is Key.SET else None,
            attenuation=mean(peer.profile) if peer else None,
            attenuation_profile=peer.profile if peer else (),
            modem=self._local.version,
            modem_mac=self._local.mac,
            matches=self._matches,
            failures=self._failures,
            counters=dict(self._counters),
        )

    # Messages that need more than the runs know.

    def _handle(self, now: float, frame: Frame) -> bool:
        if self._phase is Phase.MATCHING:
            handler = self._handlers.get(type(frame.message))
            return handler is not None and handler(now, frame.source, frame.message)
        if self._peer is None or frame.source != self._peer.key[0]:
            return False
        if self._phase in (Phase.JOINING, Phase.MATCHED) and self._repeat_confirmation(frame):
            return True
        joining = self._phase in (Phase.JOINING, Phase.RESUMING)
        return joining and self._start_over(now, frame.message)

    def _on_parm(self, now: float, source: bytes, message: CmSlacParmReq) -> bool:
        return now < self._open_until and self._runs.on_parm(now, source, message)

    def _on_profile(self, now: float, source: bytes, message: CmAttenProfileInd) -> bool:
        """Believe only the own modem: anyone can write a profile with any car's address."""
        return source == self._local.mac and self._runs.on_profile(now, message)

    def _on_validate(self, now: float, source: bytes, message: CmValidateReq) -> bool:
        return self._runs.on_validate(now, source, message, self._pilot)

    def _on_match(self, now: float, source: bytes, message: CmSlacMatchReq) -> bool:
        session = self._runs.chosen(source, message)
        if session is None:
            return False
        self._runs.clear()
        self._peer = session
        self._confirmations = 0
        self._confirm()
        self._local.watch_link(now, TT_LINK_STATUS_POLL_JOINING)
        self._due = now + TT_MATCH_JOIN
        self._enter(Phase.JOINING, 'vehicle has the key and joins the network')
        return True

    def _repeat_confirmation(self, frame: Frame) -> bool:
        """Answer the matched car again, as often as it may ask, if it missed the key."""
        message, peer = frame.message, self._peer
        if not isinstance(message, CmSlacMatchReq) or peer is None:
            return False
        if message.run_id != peer.key[1] or not peer.accepts(message, self._mac):
            return False
        if self._confirmations > C_EV_MATCH_RETRY:
            return False
        self._confirm()
        return True

    def _start_over(self, now: float, message: Message) -> bool:
        """Free the station for a car that asks anew instead of joining: it missed the key."""
        if not isinstance(message, CmSlacParmReq):
            return False
        self._fail_to_join(now, 'vehicle started over', 'vehicle started over')
        return True

    def _confirm(self) -> None:
        if self._peer is None:
            raise RuntimeError('there is no car to confirm to')
        self._confirmations += 1
        self._disclosed = True
        mac, run_id = self._peer.key
        self._send(
            mac,
            CmSlacMatchCnf(
                pev_mac=mac,
                evse_mac=self._mac,
                run_id=run_id,
                nid=nid_of(self._nmk),
                nmk=self._nmk,
            ),
        )

    # What follows from modem, runs and time.

    def _follow(self, now: float) -> None:
        """Go on where modem or runs have got to a point that the station waits for."""
        if self._local.hangs:
            self._restart_modem('it does not answer')
        elif self._phase is Phase.KEYING:
            if self._local.key is Key.SET:
                self._rest(now)
            elif self._local.key is Key.REFUSED:
                firmware = self._local.wants_firmware
                self._restart_modem(
                    'it asks for firmware' if firmware else 'it does not take a key')
        elif self._phase is Phase.MATCHING:
            self._message = _PROGRESS[self._runs.stage]
            if not self._runs and self._runs.stage is not Stage.RESTARTED:
                self._runs.go_on()
                self._match_failed(now, 'no run led to a match')
        elif self._phase in (Phase.JOINING, Phase.RESUMING) and self._local.link_up:
            self._matched(now)
        elif self._phase is Phase.MATCHED and self._local.link_lost:
            self._lose(now, 'link lost', 'link to the vehicle is lost')

    def _time_out(self, now: float) -> None:
        self._due = math.inf
        if self._phase is Phase.JOINING:
            self._fail_to_join(now, 'not joined', 'vehicle did not join the network in time')
        elif self._phase is Phase.RESUMING:
            self._lose(now, 'not resumed', 'vehicle did not come back after the pause')
        elif self._phase is Phase.FAILED:
            self._wish_for(WishKind.NONE)
            self._rest(now)
        elif self._phase is Phase.RESTARTING:
            self._enter(Phase.NO_MODEM, 'modem did not come back')
        elif self._phase is Phase.MATCHING and not self._runs:
            if now < self._runs.pending_until:
                self._due = self._runs.pending_until
            else:
                self._match_failed(now, 'vehicle did not start SLAC')

    def _rest(self, now: float) -> None:
        """Start to match if the pilot allows, else wait for it."""
        self._due = math.inf
        if self._wish.kind is not WishKind.NONE:
            if self._wish.kind is WishKind.STEP and self._pilot.digital:
                self._due = now + STEP_PATIENCE
            self._enter(Phase.FAILED, f'{self._trouble}; {_WISHES[self._wish.kind]}')
            return
        if self._hold or not self._pilot.matchable:
            self._enter(Phase.IDLE, 'no vehicle asks for communication')
            return
        self._runs.clear()
        self._due = self._open_until = now + self._config.init_timeout
        self._enter(Phase.MATCHING, _PROGRESS[Stage.RESTARTED])

    def _matched(self, now: float) -> None:
        self._due = math.inf
        self._matches += 1
        self._failed_in_a_row = 0
        self._local.watch_link(now, TT_LINK_STATUS_POLL_MATCHED)
        if self._peer is not None:
            self._amp_map.open(now, self._peer.key[0], self._config.amplitude_map)
        self._enter(Phase.MATCHED, 'one network with the vehicle')

    def _wake_up(self, now: float, toggled: bool) -> None:
        """End a pause when 5 % duty comes back or the vehicle toggles."""
        self._slept = self._slept or not self._pilot.digital
        if toggled or (self._slept and self._pilot.digital):
            self._local.watch_link(now, TT_LINK_STATUS_POLL_JOINING)
            self._due = now + TT_CONN_RESUME
            self._enter(Phase.RESUMING, 'resuming after a pause')

    def _begin_again(self, now: float) -> None:
        """Match with a vehicle that was given up and now wants to communicate.

        While the modem is away, or gets its key, that comes first.
        """
        self._attempts = 0
        self._wish_for(WishKind.NONE)
        if self._phase is Phase.FAILED:
            self._rest(now)

    def _stop(self, now: float, why: str) -> None:
        """End whatever goes on because the pilot no longer asks for communication."""
        self._grace_due = math.inf
        if self._phase in _JOINED:
            self._leave(now, why)
        elif self._phase in (Phase.MATCHING, Phase.FAILED):
            self._runs.clear()
            self._rest(now)

    def _match_failed(self, now: float, reason: str) -> None:
        """Wait for another attempt: of the car, or after a while of our own."""
        self._count_failure(reason)
        over = now >= self._open_until
        if self._failed_too_often:
            if over:
                self._wish_for(WishKind.STEP, reason)
            self._restart_after_failures()
        elif over:
            self._use_up_attempt(reason)
            self._rest(now)

    def _fail_to_join(self, now: float, failure: str, why: str) -> None:
        """Leave the network that the vehicle has not joined, and match anew with another key.

        That needs no step of the pilot, but it is an attempt: anyone on the line can begin it.
        """
        self._count_failure(failure)
        if self._failed_too_often:
            self._restart_after_failures()
            return
        self._use_up_attempt(why, WishKind.NONE)
        self._leave(now, why)

    def _lose(self, now: float, failure: str, why: str) -> None:
        """Leave a network that the vehicle may take itself to be in."""
        self._count_failure(failure)
        if self._failed_too_often:
            self._restart_after_failures()
            return
        self._use_up_attempt(why)
        self._leave(now, why)

    def _count_failure(self, reason: str) -> None:
        self._failures += 1
        self._failed_in_a_row += 1
        self._counters[f'matches failed, {reason}'] += 1

    @property
    def _failed_too_often(self) -> bool:
        """So many matches have failed in a row that the modem has to be restarted."""
        due = self._config.reset_after
        return 0 < due <= self._failed_in_a_row and not self._reset_in_plug_in

    def _restart_after_failures(self) -> None:
        failed, self._failed_in_a_row = self._failed_in_a_row, 0
        self._reset_in_plug_in = True
        self._restart_modem(f'{failed} matches failed in a row')

    def _restart_modem(self, reason: str) -> None:
        if self._phase in _LINKED:
            self._use_up_attempt('modem was restarted')
        elif self._wish.kind is WishKind.STEADY:
            self._wish_for(WishKind.NONE)
        self._clear()
        self._order_restart(reason)
        self._enter(Phase.NO_MODEM, f'modem is being restarted: {reason}')

    def _leave(self, now: float, why: str) -> None:
        """Leave the network: with another key in the modem, nobody else is in it."""
        self._clear()
        self._set_key(now, why)

    def _set_key(self, now: float, why: str) -> None:
        if self._disclosed:
            self._nmk = self._new_key()
            self._disclosed = False
        self._local.set_key(now, self._nmk)
        self._enter(Phase.KEYING, f'{why}; setting a key')

    def _use_up_attempt(self, trouble: str, again: WishKind = WishKind.STEP) -> None:
        """Ask `again` of the pilot, or give the vehicle up if it has had all its attempts."""
        self._attempts += 1
        left = self._attempts < self._config.attempts
        self._wish_for(again if left else WishKind.STEADY, trouble)

    def _wish_for(self, kind: WishKind, trouble: str = '') -> None:
        """Ask something of the pilot because of a trouble, and nothing else any more."""
        number = self._wish.number + (kind is WishKind.STEP)
        self._wish, self._trouble = PilotWish(kind, number), trouble

    def _clear(self) -> None:
        self._runs.clear()
        self._local.stop_watching()
        self._amp_map.close()
        self._peer = None
        self._due = self._grace_due = math.inf

    def _enter(self, phase: Phase, message: str) -> None:
        self._phase, self._message = phase, message

    def _state(self) -> LinkState:
        return _STATES[self._phase]
