"""Handing one message to the mail server, and what went wrong in words that a data manager understands."""

import smtplib
import ssl
from contextlib import suppress
from email.message import EmailMessage
from typing import TYPE_CHECKING

from pipelines.errors import RestageError
from pipelines.outbox.settings import Mail, secret

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE = 60  # seconds that a server may take to answer


class NotSent(RestageError):
    """The message certainly reached nobody."""


class Unknown(RestageError):
    """The connection broke while the message was handed over: nobody knows whether it was taken."""


def hand_over(mail: Mail, message: EmailMessage, to: "Sequence[str]") -> dict[str, str]:
    """Hand a message to the server for these addresses; returns the addresses that it refused, each with the reason.

    Raises `NotSent` where it reached nobody, `Unknown` where that cannot be told.
    """
    server = _connected(mail)
    try:
        _log_in(mail, server)
        refused = server.send_message(message, to_addrs=list(to))
    except smtplib.SMTPRecipientsRefused as error:
        raise NotSent(f"the server refused {_listed(_told(error.recipients))}") from error
    except smtplib.SMTPSenderRefused as error:
        raise NotSent(f"the server refused the sender {mail.sender} or the size: {_said(error)}") from error
    except smtplib.SMTPResponseException as error:
        raise NotSent(f"the server refused the message: {_said(error)}") from error
    except (OSError, smtplib.SMTPException) as error:
        raise Unknown("the connection broke while the message was handed over") from error
    finally:
        with suppress(OSError, smtplib.SMTPException):
            server.quit()
    return _told(refused)


def _connected(mail: Mail) -> smtplib.SMTP:
    """A connection that is encrypted unless the settings say none."""
    place = f"{mail.host}, port {mail.port}"
    try:
        trust = ssl.create_default_context(cafile=str(mail.home.root / mail.ca) if mail.ca else None)
    except (OSError, ssl.SSLError) as error:
        raise NotSent(f"the file {mail.ca}, named under server.ca, is missing or holds no certificate") from error
    us = mail.domain
    server: smtplib.SMTP | None = None
    try:
        if mail.tls == "implicit":
            return smtplib.SMTP_SSL(mail.host, mail.port, us, timeout=PATIENCE, context=trust)
        server = smtplib.SMTP(mail.host, mail.port, us, timeout=PATIENCE)
        if mail.tls == "starttls":
            server.starttls(context=trust)
        return server
    except smtplib.SMTPNotSupportedError:
        reason = f"{place} offers no TLS, and nothing is sent without it"
    except ssl.SSLCertVerificationError as error:
        reason = f"the certificate of {place} is not trusted: {error.verify_message}"
    except ssl.SSLError:
        reason = f"{place} does not speak TLS as expected; see server.tls in mail.yaml"
    except (OSError, smtplib.SMTPException) as error:
        reason = f"{place} cannot be reached: {getattr(error, 'strerror', None) or type(error).__name__}"
    if server is not None:
        server.close()
    raise NotSent(reason)


def _log_in(mail: Mail, server: smtplib.SMTP) -> None:
    if not mail.user:
        return
    try:
        server.login(mail.user, secret(mail.home, mail.password))
    except smtplib.SMTPAuthenticationError as error:
        raise NotSent(f"{mail.host} does not accept the user {mail.user} with this password") from error
    except smtplib.SMTPException as error:
        raise NotSent(f"{mail.host} does not let {mail.user} log in: {type(error).__name__}") from error


def _told(refused: "dict[str, tuple[int, bytes]]") -> dict[str, str]:
    return {address: f"{code} {text.decode('utf-8', 'replace')}" for address, (code, text) in refused.items()}


def _listed(refused: dict[str, str]) -> str:
    return "; ".join(f"{address}: {reason}" for address, reason in refused.items())


def _said(error: smtplib.SMTPResponseException) -> str:
    text = error.smtp_error
    return f"{error.smtp_code} {text.decode('utf-8', 'replace') if isinstance(text, bytes) else text}"
