"""Whether another process still runs."""


def lives(pid: int) -> bool:
    """Whether the process is there and has not ended.

    One that ended stays in the system's table until its parent asks for its exit code; one whose parent was killed
    stays as long as whoever adopted it takes, in a container whose first process never asks for ever.
    """
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
