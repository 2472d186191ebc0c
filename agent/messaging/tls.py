"""An encrypted connection to the broker, as the settings want it."""

import ssl

from agent.settings import Tls


def tls_context(settings: Tls) -> ssl.SSLContext:
    """Trust the named authority, or the system's; bring the station's certificate along, if it has one.

    Raises:
        OSError: a file cannot be read, or holds no certificate or key (`ssl.SSLError`).
    """
    context = ssl.create_default_context(cafile=settings.ca)
    if settings.certificate:
        context.load_cert_chain(settings.certificate, settings.key)
    return context
