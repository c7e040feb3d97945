"""Addresses that carry a password: shown without it, and handed on by the name of their variable.

What is handed to Dagster, MLflow or a command line is written down somewhere: in run records, on pages, in the list of
processes. So an address with a secret goes there as `env:VARIABLE`, and is looked up where it is used.
"""

import ipaddress
import os
import re
from urllib.parse import unquote, urlsplit, urlunsplit

BY_NAME = "env:"
HIDDEN = "***"
USER = re.compile(r"(?<=://).*@")
"""Everything before the last @: a password that was not quoted may hold a slash, or another @."""

SECRET_FIELD = re.compile(
    r"((?:pass\w*|pwd|token|secret|\w*key|auth|sig(?:nature)?)=)[^&,\s#]*", re.IGNORECASE
)


def shown(address: str) -> str:
    """The address as people and logs may see it: user, password and secret fields are hidden."""
    return SECRET_FIELD.sub(rf"\g<1>{HIDDEN}", USER.sub(f"{HIDDEN}@", address))


def is_secret(address: str) -> bool:
    """Whether an address holds something that is not for everybody's eyes."""
    return shown(address) != address


def handed_on(variable: str, address: str) -> str:
    """The address as it is kept in a resource's configuration: by its variable's name where it holds a secret."""
    return f"{BY_NAME}{variable}" if is_secret(address) and os.environ.get(variable) == address else address


def revealed(address: str) -> str:
    """The address that a kept one stands for; raises KeyError's sentence where its variable is not set here."""
    if not address.startswith(BY_NAME):
        return address
    variable = address.removeprefix(BY_NAME)
    if variable not in os.environ:
        raise LookupError(
            f"{variable} is not set in this process, and the address with its password is only there: set it"
        )
    return os.environ[variable]


def without_user(address: str) -> tuple[str, str | None, str | None]:
    """An address of a server without user and password, and the two."""
    parts = urlsplit(address)
    user, password = (unquote(part) if part else None for part in (parts.username, parts.password))
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=host)), user, password


def is_loopback(host: str) -> bool:
    """Whether whoever listens on this address is reached from its own machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
