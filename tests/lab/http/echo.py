# SPDX-License-Identifier: LGPL-2.1-or-later
"""A service that knows no protocol: it gives every byte back, and a connection's end for its end.

    echo.py --port PORT        on PORT of 0.0.0.0, and on the port after it of [::]
"""
import argparse
import selectors
import socket

from notify import ready

PIECE = 16384
HIGH = 1 << 20  # so much may wait for a client that does not read; then its bytes wait in its own kernel


class Echo:
    def __init__(self, loop, sock):
        self.loop, self.sock = loop, sock
        self.waiting, self.ended = b"", False
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop.register(sock, selectors.EVENT_READ, self)

    def ready(self, events):
        try:
            if events & selectors.EVENT_READ:
                data = self.sock.recv(PIECE)
                self.ended = not data
                self.waiting += data
            if self.waiting:
                self.waiting = self.waiting[self.sock.send(self.waiting):]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if self.ended and not self.waiting:
            self.close()
            return
        wanted = 0 if self.ended or len(self.waiting) > HIGH else selectors.EVENT_READ
        self.loop.modify(self.sock, wanted | (selectors.EVENT_WRITE if self.waiting else 0), self)

    def close(self):
        self.loop.unregister(self.sock)
        self.sock.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    loop = selectors.DefaultSelector()
    for family, address, at in ((socket.AF_INET, "0.0.0.0", port), (socket.AF_INET6, "::", port + 1)):
        s = socket.socket(family, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, at))
        s.listen(512)
        loop.register(s, selectors.EVENT_READ)
    ready()
    while True:
        for key, events in loop.select():
            if key.data:
                key.data.ready(events)
            else:
                Echo(loop, key.fileobj.accept()[0])


main()
