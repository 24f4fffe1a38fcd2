"""What can go wrong in a login: the provider is away, or an answer is not to be believed."""

from __future__ import annotations


class Fault(Exception):
    """A login failed. The message is for the log and has no value of the request; ``status`` is the page's."""

    status = 403


class Away(Fault):
    """The provider does not answer, or not as a provider does."""

    status = 503


class Forged(Fault):
    """An answer is not to be believed: its state, nonce, issuer, audience, time or signature is wrong."""

    status = 400


class NotAllowed(Fault):
    """The provider or the deployer does not admit this visitor."""
