"""External identification means (EIM): who may charge is decided outside of the vehicle."""

from __future__ import annotations

from .station import Decision

#: How long a grant for the next session keeps when the caller does not say, s.
DEFAULT_VALIDITY = 60.0


class ExternalAuthorization:
    """Holds at most one decision, for the session that waits or for the next one.

    A decision is used once: it belongs to one session, and no later session inherits it.  One that
    comes while the vehicle waits with a contract, or by external means, is about these alone: it
    may present others.
    """

    def __init__(self, automatic: bool) -> None:
        self._automatic = automatic
        self._granted_until: float | None = None
        self._session_id = ''
        self._decision = Decision.WAITING
        #: What the vehicle presents, and what the decision is about; ``None``: the session.
        self._presented: str | None = None
        self._subject: str | None = None
        #: What the vehicle knows to be denied.
        self._refused: set[str] = set()

    @property
    def decision(self) -> Decision:
        """Decision for the session that was begun last and has not ended."""
        return self._decision

    def begin(self, session_id: str, now: float) -> None:
        """Start a session: it takes up a grant that waits for it."""
        waiting = self._granted_until is not None and now < self._granted_until
        self._granted_until = None
        self._forget(session_id)
        if self._automatic or waiting:
            self._decision = Decision.GRANTED

    def end(self) -> None:
        """Forget the decision of the session that has ended."""
        self._forget('')

    def about(self, means: str) -> Decision:
        """Return the decision about what the vehicle presents: a contract's id, '' without one.

        A denial that the vehicle has not been told before it presents something else is about the
        session: it was meant for whatever comes.
        """
        before, self._presented = self._presented, means
        if self._subject is not None and means != before:
            if self._decision is not Decision.DENIED or self._subject in self._refused:
                self._decision = Decision.WAITING
            self._subject = None
        elif self._subject is not None and self._decision is Decision.DENIED:
            self._refused.add(means)
        if means in self._refused:
            self._decision, self._subject = Decision.DENIED, means
        return self._decision

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
            self._decide(Decision.GRANTED)
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
            self._decide(Decision.DENIED)
        return None

    def _decide(self, decision: Decision) -> None:
        waiting = self._decision is Decision.WAITING
        self._decision, self._subject = decision, self._presented if waiting else None

    def _forget(self, session_id: str) -> None:
        self._session_id, self._decision = session_id, Decision.WAITING
        self._presented = self._subject = None
        self._refused = set()
