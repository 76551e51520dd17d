"""SLAC for the car (EV): find the station at the other end of the cable and join its network."""

from __future__ import annotations

import enum
import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ccs2_link.homeplug.frame import Frame
from ccs2_link.homeplug.keys import Nmk
from ccs2_link.homeplug.layout import Message
from ccs2_link.homeplug.messages import (
    BROADCAST,
    RUN_ID_LENGTH,
    CmAmpMapReq,
    CmAttenCharInd,
    CmAttenCharRsp,
    CmMnbcSoundInd,
    CmSlacMatchCnf,
    CmSlacMatchReq,
    CmSlacParmCnf,
    CmSlacParmReq,
    CmStartAttenCharInd,
    CmValidateCnf,
    CmValidateReq,
    ValidateResult,
)
from ccs2_link.slac.attenuation import mean
from ccs2_link.slac.contract import (
    DataLink,
    LinkState,
    LinkStatus,
    Output,
    Pilot,
    SwitchReady,
)
from ccs2_link.slac.core import SlacCore
from ccs2_link.slac.local_modem import Key
from ccs2_link.slac.timing import (
    C_CONN_MAX_MATCH,
    C_EV_MATCH_RETRY,
    C_EV_START_ATTEN_CHAR_INDS,
    TP_EV_BATCH_MSG_INTERVAL,
    TT_CONN_RESUME,
    TT_EV_ATTEN_RESULTS,
    TT_EV_VALIDATE_AGAIN,
    TT_LINK_STATUS_POLL_JOINING,
    TT_LINK_STATUS_POLL_MATCHED,
    TT_MATCH_JOIN,
    TT_MATCH_RESPONSE,
    TT_MATCHING_RATE,
    TT_MATCHING_REPETITION,
    VALIDATE_TIMER_UNIT,
)

MAX_STATIONS = 16
"""Stations that are compared; more do not hang on one supply."""
VALIDATE_PHASE = 0.3
"""Length [s] of each B and C phase of a BCB toggle (200 ms to 400 ms)."""


@dataclass(frozen=True, slots=True)
class EvConfig:
    """Settings of a car's SLAC; the defaults are the standard's.

    `validate` proves the cable by so many BCB toggles before the match (0 to 3). A station above
    `max_attenuation` [dB] is not chosen. `run_id` fixes the run id as some cars do.
    """

    validate: int = 0
    max_attenuation: float = 60.0
    run_id: bytes | None = None
    repetition: float = TT_MATCHING_REPETITION
    amplitude_map: CmAmpMapReq | None = None

    def __post_init__(self) -> None:
        """Raise ValueError naming the setting that is out of range."""
        if not 0 <= self.validate <= 3:
            raise ValueError(f'validate is {self.validate} toggles, allowed is 0 to 3')
        if self.run_id is not None and len(self.run_id) != RUN_ID_LENGTH:
            raise ValueError(f'run_id has {len(self.run_id)} octets, not {RUN_ID_LENGTH}')


class Phase(enum.Enum):
    """What the car is doing."""

    NO_MODEM = enum.auto()
    IDLE = enum.auto()
    RETRYING = enum.auto()
    ASKING = enum.auto()
    ANNOUNCING = enum.auto()
    SOUNDING = enum.auto()
    LISTENING = enum.auto()
    VALIDATING = enum.auto()
    TOGGLING = enum.auto()
    MATCHING = enum.auto()
    KEYING = enum.auto()
    JOINING = enum.auto()
    MATCHED = enum.auto()
    PAUSED = enum.auto()
    FAILED = enum.auto()


_STATES = {
    Phase.NO_MODEM: LinkState.UNAVAILABLE,
    Phase.IDLE: LinkState.UNMATCHED,
    Phase.PAUSED: LinkState.UNMATCHED,
    Phase.MATCHED: LinkState.MATCHED,
    Phase.FAILED: LinkState.FAILED,
}
_JOINED = (Phase.KEYING, Phase.JOINING, Phase.MATCHED, Phase.PAUSED)


class EvSlac(SlacCore):
    """The LinkCore of a car with a modem; it also gives SwitchReady when it validates."""

    def __init__(
        self,
        mac: bytes,
        config: EvConfig | None = None,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Speak from the host address `mac`."""
        super().__init__(mac, random)
        self._config = config or EvConfig()
        self._random = random
        self._phase = Phase.NO_MODEM
        self._forget()
        self._attempts = 0
        self._first_attempt = 0.0
        self._handlers: Mapping[type[Message], Callable[[float, bytes, Any], bool]] = {
            CmSlacParmCnf: self._on_parameters,
            CmAttenCharInd: self._on_attenuation,
            CmValidateCnf: self._on_validation,
            CmSlacMatchCnf: self._on_match,
        }
        self._due_actions: Mapping[Phase, Callable[[float], None]] = {
            Phase.RETRYING: self._start,
            Phase.ASKING: self._asked,
            Phase.ANNOUNCING: self._announce,
            Phase.SOUNDING: self._sound,
            Phase.LISTENING: self._choose,
            Phase.VALIDATING: self._ask_validation,
            Phase.TOGGLING: self._toggle,
            Phase.MATCHING: self._ask_match,
            Phase.JOINING: lambda now: self._failed(now, 'network was not joined in time'),
        }

    def _forget(self) -> None:
        """Begin with a blank sheet: no station, no network."""
        self._due = math.inf
        self._results_due = math.inf
        self._run_id = b''
        self._nid: bytes | None = None
        self._chosen = b''
        self._stations: dict[bytes, tuple[int, ...]] = {}
        self._sounds = 0
        self._time_out = 0
        self._remaining = 0
        self._tries = 0
        self._switches = 0
        self._local.stop_watching()
        self._amp_map.close()

    # What goes in.

    def modem(self, now: float, ready: bool) -> list[Output]:
        """Take the news that the modem has come up or gone."""
        if ready:
            if self._phase is Phase.NO_MODEM:
                self._rest(now)
            elif self._phase is Phase.JOINING:
                self._local.settled(now)
                self._local.watch_link(now, TT_LINK_STATUS_POLL_JOINING)
        elif self._phase is Phase.JOINING:
            # It restarts with the new key: the join goes on when it is back.
            self._local.gone()
        else:
            self._forget()
            self._local.gone()
            self._enter(Phase.NO_MODEM, 'modem is not ready')
        return self._flush()

    def pilot(self, now: float, pilot: Pilot) -> list[Output]:
        """Start when the station asks for communication, stop when unplugged."""
        before, self._pilot = self._pilot, pilot
        if not pilot.plugged:
            if self._phase in _JOINED:
                self._leave(now, 'unplugged')
            elif self._phase is not Phase.NO_MODEM:
                self._rest(now)
        elif pilot.matchable and not before.matchable:
            if self._phase in (Phase.IDLE, Phase.FAILED):
                self._rest(now)
            elif self._phase is Phase.PAUSED:
                self._join(now, TT_CONN_RESUME)
        return self._flush()

    def data_link(self, now: float, request: DataLink) -> list[Output]:
        """Do what the upper layer asks of a matched link; else there is nothing to do."""
        if self._phase in _JOINED:
            if request is DataLink.PAUSE:
                self._local.stop_watching()
                self._due = math.inf
                self._enter(Phase.PAUSED, 'paused; the network is kept')
            else:
                self._leave(now, f'upper layer asked for D-LINK_{request.name}')
        return self._flush()

    def tick(self, now: float) -> list[Output]:
        """Do what is due."""
        self._local.tick(now)
        self._amp_map.tick(now)
        self._follow(now)
        if now >= self._due:
            self._due_actions[self._phase](now)
        return self._flush()

    # What comes out, besides the lists that the methods above return.

    def deadline(self) -> float | None:
        """Return when `tick` has to be called."""
        due = min(self._due, self._local.deadline(), self._amp_map.deadline())
        return None if due == math.inf else due

    def status(self) -> LinkStatus:
        """Return the present status; the peer is the chosen station."""
        profile = self._stations.get(self._chosen, ())
        return LinkStatus(
            state=self._state(),
            message=self._message,
            peer_mac=self._chosen or None,
            run_id=self._run_id or None,
            nid=self._nid,
            attenuation=mean(profile) if profile else None,
            attenuation_profile=profile,
            modem=self._local.version,
            modem_mac=self._local.mac,
            matches=self._matches,
            failures=self._failures,
            counters=dict(self._counters),
        )

    # One attempt, step by step.

    def _handle(self, now: float, frame: Frame) -> bool:
        handler = self._handlers.get(type(frame.message))
        return handler is not None and handler(now, frame.source, frame.message)

    def _start(self, now: float) -> None:
        self._forget()
        self._attempts += 1
        self._run_id = self._config.run_id or self._random(RUN_ID_LENGTH)
        self._enter(Phase.ASKING, 'asks for stations')
        self._ask(now)

    def _ask(self, now: float) -> None:
        self._tries += 1
        self._due = now + TT_MATCH_RESPONSE
        self._send(BROADCAST, CmSlacParmReq(run_id=self._run_id))

    def _on_parameters(self, now: float, source: bytes, message: CmSlacParmCnf) -> bool:
        if self._phase is not Phase.ASKING or message.run_id != self._run_id:
            return False
        if message.forwarding_sta != self._mac or not message.num_sounds:
            return False
        if len(self._stations) < MAX_STATIONS:
            self._stations[source] = ()
            self._sounds = max(self._sounds, message.num_sounds)
            self._time_out = max(self._time_out, message.time_out)
        return True

    def _asked(self, now: float) -> None:
        if self._stations:
            self._tries = 0
            self._results_due = now + TT_EV_ATTEN_RESULTS
            self._enter(Phase.ANNOUNCING, 'announces its sounds')
            self._announce(now)
        elif self._tries <= C_EV_MATCH_RETRY:
            self._ask(now)
        else:
            self._failed(now, 'no station answered')

    def _announce(self, now: float) -> None:
        self._tries += 1
        self._due = now + TP_EV_BATCH_MSG_INTERVAL
        self._send(
            BROADCAST,
            CmStartAttenCharInd(
                num_sounds=self._sounds,
                time_out=self._time_out,
                forwarding_sta=self._mac,
                run_id=self._run_id,
            ),
        )
        if self._tries == C_EV_START_ATTEN_CHAR_INDS:
            self._remaining = self._sounds
            self._enter(Phase.SOUNDING, 'sounds')

    def _sound(self, now: float) -> None:
        self._remaining -= 1
        self._send(
            BROADCAST,
            CmMnbcSoundInd(remaining=self._remaining, run_id=self._run_id, random=self._random(16)),
        )
        if self._remaining:
            self._due = now + TP_EV_BATCH_MSG_INTERVAL
        else:
            self._due = self._results_due
            self._enter(Phase.LISTENING, 'waits for the attenuation')

    def _on_attenuation(self, now: float, source: bytes, message: CmAttenCharInd) -> bool:
        if source not in self._stations or message.run_id != self._run_id:
            return False
        if message.source_address != self._mac or self._phase in _JOINED:
            return False
        self._send(source, CmAttenCharRsp(source_address=self._mac, run_id=self._run_id))
        self._stations[source] = tuple(message.groups)
        if self._phase is Phase.LISTENING and all(self._stations.values()):
            self._choose(now)
        return True

    def _choose(self, now: float) -> None:
        means = {mac: mean(profile) for mac, profile in self._stations.items() if profile}
        self._chosen = min(means, key=lambda mac: means[mac], default=b'')
        if not self._chosen:
            self._failed(now, 'no station reported an attenuation')
        elif means[self._chosen] > self._config.max_attenuation:
            self._failed(now, 'nearest station is too far away', f'{means[self._chosen]:.0f} dB')
        else:
            self._tries = 0
            if self._config.validate:
                self._enter(Phase.VALIDATING, 'asks for validation')
                self._ask_validation(now)
            else:
                self._enter(Phase.MATCHING, 'asks for the match')
                self._ask_match(now)

    def _ask_validation(self, now: float) -> None:
        if self._tries > C_EV_MATCH_RETRY:
            self._failed(now, 'station did not validate')
            return
        self._tries += 1
        self._due = now + TT_MATCH_RESPONSE
        self._send(self._chosen, CmValidateReq())

    def _on_validation(self, now: float, source: bytes, message: CmValidateCnf) -> bool:
        if source != self._chosen or message.signal_type != 0:
            return False
        if self._phase is Phase.VALIDATING:
            if message.result == ValidateResult.NOT_READY:
                self._due = now + TT_EV_VALIDATE_AGAIN
            elif message.result == ValidateResult.NOT_REQUIRED:
                self._validated(now)
            elif message.result == ValidateResult.READY:
                self._switches = 2 * self._config.validate
                window = (self._switches + 1) * VALIDATE_PHASE
                timer = math.ceil(window / VALIDATE_TIMER_UNIT) - 1
                self._send(self._chosen, CmValidateReq(timer=timer))
                self._enter(Phase.TOGGLING, 'toggles its pilot')
                self._results_due = now + window + TT_MATCH_RESPONSE
                self._due = now
            else:
                self._failed(now, 'station refused to validate')
            return True
        if self._phase is Phase.TOGGLING:
            right = message.toggle_num == self._config.validate
            if message.result == ValidateResult.SUCCESS and right:
                self._validated(now)
            else:
                self._failed(now, 'toggles were not confirmed', f'counted {message.toggle_num}')
            return True
        return False

    def _toggle(self, now: float) -> None:
        if not self._switches:
            if now >= self._results_due:
                self._failed(now, 'station did not tell the result of the validation')
            else:
                self._due = self._results_due
            return
        self._out.append(SwitchReady(ready=self._switches % 2 == 0))
        self._switches -= 1
        self._due = now + VALIDATE_PHASE

    def _validated(self, now: float) -> None:
        self._tries = 0
        self._enter(Phase.MATCHING, 'asks for the match')
        self._ask_match(now)

    def _ask_match(self, now: float) -> None:
        if self._tries > C_EV_MATCH_RETRY:
            self._failed(now, 'station did not confirm the match')
            return
        self._tries += 1
        self._due = now + TT_MATCH_RESPONSE
        self._send(
            self._chosen,
            CmSlacMatchReq(pev_mac=self._mac, evse_mac=self._chosen, run_id=self._run_id),
        )

    def _on_match(self, now: float, source: bytes, message: CmSlacMatchCnf) -> bool:
        right = (
            self._phase is Phase.MATCHING
            and source == self._chosen == message.evse_mac
            and message.pev_mac == self._mac
            and message.run_id == self._run_id
        )
        if right:
            self._due = math.inf
            self._nid = message.nid
            self._enter(Phase.KEYING, 'sets the key of the station')
            self._local.set_key(now, message.nmk, message.nid)
        return right

    # What follows from modem and time.

    def _follow(self, now: float) -> None:
        if self._phase is Phase.KEYING and self._local.key is Key.SET:
            self._join(now, TT_MATCH_JOIN)
        elif self._phase is Phase.KEYING and self._local.key is Key.REFUSED:
            self._failed(now, 'modem does not take the key')
        elif self._phase is Phase.JOINING and self._local.link_up:
            self._matches += 1
            self._due = math.inf
            self._local.watch_link(now, TT_LINK_STATUS_POLL_MATCHED)
            self._amp_map.open(now, self._chosen, self._config.amplitude_map)
            self._enter(Phase.MATCHED, 'one network with the station')
        elif self._phase is Phase.MATCHED and self._local.link_lost:
            self._failed(now, 'link to the station is lost')

    def _join(self, now: float, patience: float) -> None:
        self._local.watch_link(now, TT_LINK_STATUS_POLL_JOINING)
        self._due = now + patience
        self._enter(Phase.JOINING, 'joins the network')

    def _failed(self, now: float, reason: str, detail: str = '') -> None:
        """Try again while the window for that is open, else wait for the pilot."""
        message = f'{reason}: {detail}' if detail else reason
        self._failures += 1
        self._counters[f'matches failed, {reason}'] += 1
        if self._phase in _JOINED:
            self._leave(now, message)
            self._attempts, self._first_attempt = 0, now
        self._forget()
        late = now + TT_MATCHING_RATE > self._first_attempt + self._config.repetition
        if late and self._attempts >= C_CONN_MAX_MATCH:
            self._enter(Phase.FAILED, message)
        else:
            self._due = now + TT_MATCHING_RATE
            self._enter(Phase.RETRYING, f'{message}; tries again')

    def _rest(self, now: float) -> None:
        self._forget()
        self._attempts, self._first_attempt = 0, now
        if self._pilot.matchable:
            self._start(now)
        else:
            self._enter(Phase.IDLE, 'station does not ask for communication')

    def _leave(self, now: float, why: str) -> None:
        """Leave the network by taking a key that nobody else has."""
        self._forget()
        self._local.set_key(now, Nmk.fresh())
        self._enter(Phase.IDLE, why)

    def _enter(self, phase: Phase, message: str) -> None:
        self._phase, self._message = phase, message

    def _restart_modem(self, reason: str) -> None:
        self._forget()
        self._order_restart(reason)
        self._enter(Phase.NO_MODEM, f'modem is being restarted: {reason}')

    def _state(self) -> LinkState:
        return _STATES.get(self._phase, LinkState.MATCHING)
