# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tells systemd that a server of this folder is ready, where systemd wants to know."""
import os
import socket


def ready():
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect(path.replace("@", "\0", 1))
            s.send(b"READY=1")
