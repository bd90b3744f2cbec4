# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the cases ask the host for: it cannot be done inside the lab. run.py answers."""
import json
import os
import threading

from harness import Skip

LOCK = threading.Lock()


def limit_memory(unit, size):
    """Puts the processes of the unit into a memory cgroup of that size; Skip where the host has none."""
    with LOCK:
        fd = int(os.environ["LAB_HOST_FD"])
        with os.fdopen(os.dup(fd), "w", encoding="utf-8") as f:
            f.write(json.dumps({"unit": unit, "bytes": size}) + "\n")
        with os.fdopen(os.dup(fd), "r", encoding="utf-8") as f:
            error = json.loads(f.readline())["error"]
    if error:
        raise Skip(f"no memory cgroup: {error}")
