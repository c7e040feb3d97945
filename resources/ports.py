"""Ports of the loopback address: which are free, and which process holds one, so that an error can name it."""

import socket


def is_free(port: int) -> bool:
    """Whether a server could listen on the port of the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free(count: int) -> list[int]:
    """So many different ports that nobody listens on now."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    numbers = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return numbers


def holder(port: int) -> str | None:
    """Name, id and command of the process that listens on a port, where the system tells."""
    import psutil

    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return None
    pids = {c.pid for c in connections if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port}
    for pid in pids - {None}:
        try:
            return f"process {pid}: {' '.join(psutil.Process(pid).cmdline())[:120]}"
        except psutil.Error:
            return f"process {pid}"
    return None
