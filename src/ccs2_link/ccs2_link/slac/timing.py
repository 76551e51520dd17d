"""Times [s] and counts of SLAC and of the data link (ISO 15118-3 Annex A and clause 9).

A station waits the TT_ (time-out) values; the TP_ (performance) values are what it promises.
"""

TT_EVSE_SLAC_INIT = 40.0
"""Vehicle and 5 % duty seen -> first CM_SLAC_PARM.REQ; the standard allows 20 s to 50 s."""
TT_MATCH_SEQUENCE = 0.4
"""Wait for the peer's next request within a sequence."""
TT_MATCH_RESPONSE = 0.2
"""Wait for the peer's answer."""
TP_MATCH_RESPONSE = 0.1
"""A request is answered within this time."""
TT_EVSE_MATCH_MNBC = 0.6
"""Length of the sounding from the first CM_START_ATTEN_CHAR.IND, sent as TIME_OUT x 100 ms."""
TT_EV_ATTEN_RESULTS = 1.2
"""The car collects CM_ATTEN_CHAR.IND for this long."""
TP_EV_BATCH_MSG_INTERVAL = 0.04
"""Distance of the car's announcements and sounds; 20 ms to 50 ms are allowed."""
TT_EVSE_MATCH_SESSION = 10.0
"""CM_ATTEN_CHAR.RSP -> CM_VALIDATE.REQ or CM_SLAC_MATCH.REQ."""
TT_MATCH_JOIN = 12.0
"""CM_SLAC_MATCH.CNF -> both modems are in one logical network."""
TT_MATCHING_REPETITION = 10.0
"""The car starts new attempts within this window."""
TT_MATCHING_RATE = 0.4
"""The car waits so long between two attempts."""
TP_MATCH_LEAVE = 1.0
"""The logical network is left within this time."""
TT_CONN_RESUME = 12.0
"""After a pause the link is waited for this long: it shall be back within T_conn_resume, 6 s, but a
recorded station and car took between 7 and 8 s."""
TT_LINK_STATUS_POLL_JOINING = 0.1
TT_LINK_STATUS_POLL_MATCHED = 0.25
TT_SET_KEY = 1.0
"""Wait for CM_SET_KEY.CNF of the own modem."""
T_KEY_SETTLE = 10.0
"""A modem that restarts within this time after a new key does so because of the key."""
TT_MODEM_RESTART = 20.0
"""A modem that restarts with a new key is back within this time; setting the key of one that is
slower again would only restart it again."""
VALIDATE_TIMER_UNIT = 0.1
TT_EV_VALIDATE_AGAIN = 0.5
"""The car repeats CM_VALIDATE.REQ after this time if the station was not ready."""

C_EV_MATCH_RETRY = 2
C_EV_START_ATTEN_CHAR_INDS = 3
C_SEQU_RETRY = 2
C_CONN_MAX_MATCH = 3
