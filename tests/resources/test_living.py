import os
import subprocess
import sys

from resources.living import lives


def test_a_process_that_ended_and_whose_exit_code_nobody_asked_for_does_not_live():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert lives(process.pid) and lives(os.getpid())
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not lives(process.pid)
    os.kill(process.pid, 0)  # It is still in the table.
    process.wait()
    assert not lives(process.pid)
