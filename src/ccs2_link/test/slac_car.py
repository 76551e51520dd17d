"""What a car says to the station's SLAC, one step at a time."""

from __future__ import annotations

from ccs2_link.homeplug import messages as mme

CAR = bytes.fromhex('02c0ffee0001')
STRANGER = bytes.fromhex('02bad0000001')
RUN = bytes.fromhex('1122334455667788')
PROFILE = bytes([20] * 58)
BROADCAST = mme.BROADCAST


class Car:
    """Says what a car says, one step at a time."""

    def __init__(self, bench, mac=CAR, run=RUN):
        self.bench, self.mac, self.run = bench, mac, run

    def say(self, message, destination=None):
        self.bench.say(message, self.mac, destination)

    def parm(self):
        self.say(mme.CmSlacParmReq(run_id=self.run), BROADCAST)

    def start(self, sounds=10, **fields):
        self.say(mme.CmStartAttenCharInd(
            num_sounds=sounds, forwarding_sta=self.mac, run_id=self.run, **fields), BROADCAST)

    def sound(self, profile=PROFILE):
        self.say(mme.CmMnbcSoundInd(remaining=0, run_id=self.run, random=bytes(16)), BROADCAST)
        if profile is not None:
            self.bench.modem_says(mme.CmAttenProfileInd(pev_mac=self.mac, groups=profile))

    def confirm(self, **fields):
        self.say(mme.CmAttenCharRsp(source_address=self.mac, run_id=self.run, **fields))

    def validate(self, timer=0):
        self.say(mme.CmValidateReq(timer=timer))

    def match(self, **fields):
        values = {'pev_mac': self.mac, 'evse_mac': self.bench.mac, 'run_id': self.run, **fields}
        self.say(mme.CmSlacMatchReq(**values))

    def sounding(self, sounds=10):
        self.parm()
        self.start(sounds)

    def accepted(self):
        self.sounding()
        for _ in range(10):
            self.sound()
        self.confirm()

    def matched(self):
        self.accepted()
        self.match()
        self.bench.wait(2.0)


def wish(bench):
    return bench.core.status().pilot_wish.kind


def lose_the_link(bench):
    bench.link = False
    bench.wait(1.0)


def let_the_modem_go(bench):
    bench.modem(False)
    bench.modem(True)
    bench.wait(0.1)
