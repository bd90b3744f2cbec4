# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client that sends exactly the segments it is told to, and reads answers as the protocol has them.

Each send() is a segment of its own (TCP_NODELAY). What was seen is counted in a tally: {(method, status): how many}.
"""
import socket
import struct
import time

from harness import SLOW, Failure
from http_truth import Counts

V4, V6, MAPPED = "v4", "v6", "mapped"


def await_tick(late=0.0):
    """Until the clock begins its next 2 ms, without leaving the processor: the server does the same. late: seconds."""
    tick = time.monotonic_ns() // 2_000_000 + 1
    while time.monotonic_ns() < tick * 2_000_000 + late * 1e9:
        pass


class Client:
    def __init__(self, port, way=V4, tally=None, source=None, fastopen=b"", timeout=20):
        """way: V4, V6, or MAPPED (IPv4 to a socket of IPv6). source: an address to come from."""
        self.tally = Counts() if tally is None else tally
        address = ("::1" if way == V6 else "127.0.0.1", port if way == V4 else port + 1)
        family = socket.AF_INET6 if way == V6 else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            self.sock.bind((source, 0))
        if fastopen:  # with a timeout it would be a socket that does not wait, which says EINPROGRESS
            self.sock.sendto(fastopen, socket.MSG_FASTOPEN, address)
            self.sock.settimeout(timeout * SLOW)
        else:
            self.sock.settimeout(timeout * SLOW)
            self.sock.connect(address)
        self.buffer = b""
        self.interim = []  # statuses before the final one
        self.headers, self.body = {}, b""
        self.first_byte = 0.0  # when the last answer began
        self.closed_by_server = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, *pieces):
        for piece in pieces:
            self.sock.sendall(piece)
        return self

    def more(self):
        data = self.sock.recv(1 << 18)
        if not data:
            raise Failure("the server closed the connection within an answer")
        self.buffer += data

    def line(self):
        while b"\n" not in self.buffer:
            self.more()
        data, self.buffer = self.buffer.split(b"\n", 1)
        return data.rstrip(b"\r").decode("latin-1")

    def take(self, n):
        while len(self.buffer) < n:
            self.more()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def head(self):
        if not self.buffer:
            self.more()
        self.first_byte = time.monotonic()
        status = int(self.line().split()[1])
        self.headers = {}
        while True:
            line = self.line()
            if not line:
                return status
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()

    def answer(self, method="GET"):
        """Reads one answer with its body; its status, counted."""
        self.interim, self.body = [], b""
        status = self.head()
        while 100 <= status < 200 and status != 101:
            self.interim.append(status)
            status = self.head()
        self.tally[(method, status)] += 1
        if method == "HEAD" or status in (101, 204, 304):
            pass
        elif "chunked" in self.headers.get("transfer-encoding", ""):
            while True:
                n = int(self.line().split(";")[0], 16)
                if not n:
                    break
                self.body += self.take(n)
                self.line()
            while self.line():
                pass
        elif "content-length" in self.headers:
            self.body = self.take(int(self.headers["content-length"]))
        else:
            self.rest()
            self.closed_by_server = True
        if self.headers.get("connection", "").lower() == "close":
            self.closed_by_server = True
        return status

    def answers(self, *methods):
        return [self.answer(m) for m in methods]

    def skip(self, n):
        """Takes that much of a body without keeping it."""
        n -= len(self.buffer)
        self.buffer = b""
        window = bytearray(1 << 20)
        while n > 0:
            got = self.sock.recv_into(window, min(n, len(window)))
            if not got:
                raise Failure(f"{n} bytes are missing")
            n -= got

    def rest(self):
        """Everything to the end of the connection."""
        while True:
            data = self.sock.recv(1 << 18)
            if not data:
                break
            self.buffer += data
        self.body, self.buffer = self.buffer, b""
        return self.body

    def ask(self, method, path, *headers, body=None, chunks=None, close=False, cuts=()):
        """A whole request, in one segment or cut at the given places, and its answer; its status."""
        data = message(method, path, *headers, body=body, chunks=chunks, close=close)
        at = 0
        for cut in (*cuts, len(data)):
            if cut > at:
                self.send(data[at:cut])
                at = cut
        return self.answer(method)

    def end(self):
        """Says that nothing more comes, and goes on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def message(method, path, *headers, body=None, chunks=None, close=False, version="HTTP/1.1"):
    lines = [f"{method} {path} {version}", "Host: lab", *headers]
    data = b""
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
        data = body
    elif chunks is not None:
        lines.append("Transfer-Encoding: chunked")
        data = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"
    if close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + data


def once(port, method, path, *headers, tally=None, way=V4, **options):
    """One request on a connection of its own; its status."""
    with Client(port, way, tally) as c:
        return c.ask(method, path, *headers, close=True, **options)
