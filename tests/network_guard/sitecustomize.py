"""Put this folder first on PYTHONPATH and every Python process refuses, and writes down, each step off this machine.

Loaded by the interpreter itself at start, so that children of children are watched too. Addresses of the loopback
interface, Unix sockets and the machine's own name pass.
"""

import ipaddress
import os
import socket
import sys

LOG = os.environ.get("NETWORK_GUARD_LOG")
OWN_NAMES = {"", "localhost", "0.0.0.0", "::", socket.gethostname()}


class OutsideCallError(OSError):
    """A connection or a name look-up that would have left this machine."""


def _is_local(host):
    if host is None:
        return True
    host = host.decode() if isinstance(host, bytes) else str(host)
    if host in OWN_NAMES:
        return True
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _refuse(what, host):
    with open(LOG, "a") as log:
        log.write(f"{os.getpid()} {what} {host!r} {' '.join(sys.argv)[:120]}\n")
    raise OutsideCallError(f"{what} to {host!r} refused by the network guard")


def _guarded(original, what, host_of):
    def call(*arguments, **options):
        host = host_of(arguments, options)
        if not _is_local(host):
            _refuse(what, host)
        return original(*arguments, **options)

    return call


def _address(arguments, options):
    address = arguments[-1]
    return address[0] if isinstance(address, tuple) else None


def _name(arguments, options):
    return arguments[0] if arguments else options.get("host")


def install():
    for method in ("connect", "connect_ex", "sendto"):
        original = getattr(socket.socket, method)
        setattr(socket.socket, method, _guarded(original, method, _address))
    for function in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr"):
        setattr(socket, function, _guarded(getattr(socket, function), function, _name))


if LOG:
    install()
