# SPDX-License-Identifier: LGPL-2.1-or-later
"""What cases of the virtual machine share."""
import os
import re

from harness import read, wait

HERE = os.path.dirname(os.path.abspath(__file__))
REFUSE = os.path.join(HERE, "refuse")
VERIFY = os.path.join(HERE, "verify")
OBJECTS = os.path.join(HERE, "objects")


def kernel_version():
    return tuple(int(n) for n in re.match(r"(\d+)\.(\d+)", os.uname().release).groups())


def code_of_waitid(leader, process):
    """Which exit code PID 1 is told of a process whose leader had left with another one.

    It asks with WNOWAIT, which old kernels answer with the leader's code: 5.10 does, 6.1 does not; the source says
    until 5.16.
    """
    return leader if kernel_version() < (5, 17) else process


def wait_zombie(pid):
    """Waits until the main thread is one; other threads may live."""
    wait("the main thread is a zombie",
         lambda: read(f"/proc/{pid}/task/{pid}/stat").rsplit(")", 1)[1].split()[0] == "Z")
