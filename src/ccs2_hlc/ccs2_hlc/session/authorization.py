"""External identification means (EIM): who may charge is decided outside of the vehicle."""

from __future__ import annotations

from .station import Decision

#: How long a grant for the next session keeps when the caller does not say, s.
DEFAULT_VALIDITY = 60.0


class ExternalAuthorization:
    """Holds at most one decision, for the session that waits or for the next one.

    A decision is used once: it belongs to one session, and no later session inherits it.
    """

    def __init__(self, automatic: bool) -> None:
        self._automatic = automatic
        self._session_id = ''
        self._decision = Decision.WAITING
        self._granted_until: float | None = None

    @property
    def decision(self) -> Decision:
        """Decision for the session that was begun last and has not ended."""
        return self._decision

    def begin(self, session_id: str, now: float) -> None:
        """Start a session: it takes up a grant that waits for it."""
        waiting = self._granted_until is not None and now < self._granted_until
        self._granted_until = None
        self._session_id = session_id
        self._decision = Decision.GRANTED if self._automatic or waiting else Decision.WAITING

    def end(self) -> None:
        """Forget the decision of the session that has ended."""
        self._session_id = ''
        self._decision = Decision.WAITING

    def grant(self, session_id: str, valid_for: float, now: float) -> str | None:
        """Grant `session_id`, or with '' the session that waits; if none runs, the next one.

        A grant that comes twice does not serve two.  Return why not, or ``None``.
        """
        if session_id and session_id != self._session_id:
            return f'session {session_id} is not running'
        if self._session_id and self._decision is Decision.DENIED:
            return f'session {self._session_id} has been denied'
        if not self._session_id:
            self._granted_until = now + (valid_for or DEFAULT_VALIDITY)
        elif session_id or self._decision is Decision.WAITING:
            self._decision = Decision.GRANTED
        else:
            return f'session {self._session_id} is authorized already'
        return None

    def deny(self, session_id: str) -> str | None:
        """Deny `session_id`, or with '' the running session and any grant for the next one.

        Denying wins over every grant.  Return why not, or ``None``.
        """
        if session_id and session_id != self._session_id:
            return f'session {session_id} is not running'
        if not session_id:
            self._granted_until = None
        if self._session_id:
            self._decision = Decision.DENIED
        return None
