from ccs2_power.contactors import Contactors, ContactorState, ContactorTiming
from ccs2_power.faults import Code
from ccs2_power.hal import ContactorReading, Measurement


class Board:
    """Contactors whose contacts the test moves."""

    def __init__(self, **timing):
        self.now = 50.0
        self.contactors = Contactors(ContactorTiming(**timing))
        self.contacts = {'DC+': False, 'DC-': False}
        self.relay = None

    def go(self, closed, beats=1, current=0.0, age=0.0):
        for _ in range(beats):
            self.now += 0.02
            stamp = self.now - age

            def m(value, stamp=stamp):
                return None if value is None else Measurement(value, 'contact', stamp)

            self.contactors.observe(ContactorReading(
                {name: m(value) for name, value in self.contacts.items()}, m(self.relay)),
                self.now)
            self.contactors.drive(closed, current, self.now)
        return self.contactors

    def move(self, closed):
        self.contacts = dict.fromkeys(self.contacts, closed)


def closed_board(**timing):
    board = Board(**timing)
    board.go(True)
    board.move(True)
    assert board.go(True).state is ContactorState.CLOSED
    return board


def test_a_cycle():
    board = closed_board()
    assert board.contactors.cycles == 1
    assert board.go(False).state is ContactorState.OPENING
    board.move(False)
    assert board.go(False).state is ContactorState.OPEN
    assert board.contactors.all_open
    assert board.contactors.fault is None
    assert board.contactors.cycles_under_load == 0


def test_closing_takes_its_time_and_no_longer():
    board = Board(close=0.5)
    assert board.go(True, beats=20).fault is None
    board.contacts['DC+'] = True
    contactors = board.go(True, beats=10)
    assert contactors.fault is Code.CONTACTOR_NOT_CLOSING
    assert contactors.culprits == ('DC-',)


def test_a_contact_that_opens_by_itself():
    board = closed_board()
    board.contacts['DC-'] = False
    assert board.go(True, beats=2).fault is None  # bounce
    assert board.go(True, beats=2).fault is Code.CONTACTOR_UNEXPECTED
    assert board.contactors.culprits == ('DC-',)


def test_weld_after_opening():
    board = closed_board(open=0.3)
    board.go(False)
    board.contacts['DC+'] = False
    contactors = board.go(False, beats=20)
    assert contactors.fault is Code.CONTACTOR_WELDED
    assert contactors.state is ContactorState.OPENING
    assert board.go(True).coils.main is False


def test_weld_at_start():
    board = Board()
    board.contacts['DC+'] = True
    assert board.go(False, beats=4).fault is Code.CONTACTOR_WELDED


def test_openings_under_load_are_counted_and_unknown_current_is_load():
    for current, count in ((5.0, 0), (5.1, 1), (-20.0, 1), (None, 1)):
        board = closed_board()
        board.go(False, current=current)
        assert board.contactors.cycles_under_load == count


def test_feedback_that_is_missing_or_stale_does_not_agree():
    board = closed_board()
    board.contacts['DC+'] = None
    assert not board.go(True).agree
    assert board.contactors.unmeasured == ('DC+',)
    board = closed_board()
    assert not board.go(True, age=0.2).agree
    board.contacts = {}
    assert not board.go(True).agree


def test_pre_charge_relay_goes_first_and_opens_after():
    board = Board(pre_charge=0.5)
    board.relay = False
    contactors = board.go(True)
    assert contactors.state is ContactorState.PRE_CHARGING
    assert (contactors.coils.main, contactors.coils.pre_charge) == (False, True)
    board.relay = True
    board.go(True, beats=26)
    assert (contactors.coils.main, contactors.coils.pre_charge) == (True, True)
    board.move(True)
    board.go(True)
    assert (contactors.coils.main, contactors.coils.pre_charge) == (True, False)
    assert board.go(True, beats=30).fault is Code.CONTACTOR_WELDED
    assert contactors.culprits == ('pre-charge',)


def test_the_main_contactors_wait_for_a_relay_that_does_not_close():
    board = Board(pre_charge=0.1)
    board.relay = False
    contactors = board.go(True, beats=20)
    assert contactors.state is ContactorState.PRE_CHARGING
    assert contactors.coils.main is False
    assert board.go(True, beats=10).fault is Code.CONTACTOR_NOT_CLOSING
    assert contactors.culprits == ('pre-charge',)


def test_feedback_of_the_relay_that_is_stale_does_not_agree():
    board = closed_board()
    board.relay = False
    assert board.go(True).agree
    contactors = board.contactors
    contactors.observe(ContactorReading(
        {name: Measurement(True, 'contact', board.now) for name in board.contacts},
        Measurement(False, 'contact', board.now - 0.2)), board.now)
    assert contactors.unmeasured == ('pre-charge',)
    assert not contactors.agree
