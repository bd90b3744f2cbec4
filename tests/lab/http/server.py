# SPDX-License-Identifier: LGPL-2.1-or-later
"""An HTTP server that does on request what real servers do rarely: the path says what.

    server.py --log FILE [--port PORT] [--single] [--tls CERTIFICATE] [--fastopen] [--banner TEXT [--at-once]]

It listens on PORT of 0.0.0.0 and on the port after it of [::] (where IPv4 comes mapped), or on what systemd hands
over. Every answer is one line in FILE, "METHOD STATUS", written before its first byte goes out: the truth as the
server knows it. With --single one thread does everything, one request per connection. TEXT is what it says first,
before it has read anything; --at-once: when the clock begins its next 2 ms.

/status/N                 answers N; with a body where the status allows one
/sleep/MS /hang           answers late; never
/chunked/N /trailer       a body of N chunks; with a chunk extension and trailers
/close                    a body without a length: it ends with the connection
/sse/MS                   chunked events, one each 50 ms
/file/BYTES               sendfile()
/zero/BYTES/PAUSE_MS      a body in two halves with a pause
/echo                     the request's body
/early/N                  N at once, although the body has not come; then reads the body and goes on
/blind                    200, and to the next request 200 before it is read; 103 when it is, 1 s later
/refuse/N                 N at once, and closes without reading the body
/hints/N                  103 as often, each in a segment of its own, then 200
/hints-joined             103 and 200 in one segment
/upgrade /tunnel          101 or 200 without a length, and then echoes whatever comes
/cut/N                    200 in two segments, cut behind the Nth byte
/drip                     200, one byte a segment
/half                     200 with a Content-Length that it does not live up to, and closes
/reset /drop              resets, closes the connection instead of answering
/reset-half               resets it in the middle of a body
/die                      ends the process
/call/PORT[/N]            asks the server at 127.0.0.1:PORT as often (1), then answers 200
/again/PORT/N             the same with one socket, which is connected to nowhere in between
/tick/…                   the same, when the clock begins its next 2 ms
/keepalive                sets TCP keep-alive as short as it can be, and never answers
"""
import argparse
import ctypes
import os
import select
import socket
import struct
import sys
import threading
import time

from notify import ready

REASONS = {100: "Continue", 200: "OK", 204: "No Content", 301: "Moved", 304: "Not Modified", 404: "Not Found",
           413: "Too Large", 500: "Error"}
lock = threading.Lock()
waiting = threading.Event()  # never set


def await_tick():
    """Until the clock begins its next 2 ms, without leaving the processor: the client does the same."""
    tick = time.monotonic_ns() // 2_000_000
    while time.monotonic_ns() // 2_000_000 == tick:
        pass


class Gone(Exception):
    """The connection has ended."""


class Connection:
    def __init__(self, sock, log):
        self.sock, self.log, self.buffer = sock, log, b""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.method = self.path = ""
        self.headers = {}
        self.open = True

    def more(self):
        data = self.sock.recv(65536)
        if not data:
            raise Gone
        self.buffer += data

    def take(self, n):
        while len(self.buffer) < n:
            self.more()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def line(self):
        while b"\n" not in self.buffer:
            self.more()
        data, self.buffer = self.buffer.split(b"\n", 1)
        return data.rstrip(b"\r")

    def head(self):
        """Reads up to the end of the next head; False: the connection has ended between requests."""
        while True:
            if not self.buffer:
                data = self.sock.recv(65536)
                if not data:
                    return False
                self.buffer = data
            first = self.line()
            if first:
                break
        self.method, target, version = first.decode("latin-1").split(" ", 2)
        self.path = target.split("//", 1)[1].partition("/")[1:] if "//" in target else target
        self.path = "".join(self.path).split("?")[0]
        self.headers = {}
        while True:
            line = self.line()
            if not line:
                break
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.strip().lower()] = value.strip().lower()
        self.open = self.headers.get("connection") != "close" and version == "HTTP/1.1"
        return True

    def body(self):
        if self.headers.get("expect") == "100-continue":
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in self.headers.get("transfer-encoding", ""):
            data = b""
            while True:
                n = int(self.line().split(b";")[0], 16)
                if n == 0:
                    while self.line():
                        pass
                    return data
                data += self.take(n)
                self.line()
        return self.take(int(self.headers.get("content-length", "0")))

    def tell(self, status):
        os.write(self.log, f"{self.method} {status}\n".encode())

    def head_of(self, status, *fields):
        self.tell(status)
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Whatever')}", *fields]
        if not self.open:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def answer(self, status, body=b"as asked\n"):
        if status < 200 or status in (204, 304):
            # A 304 may say the length of what it does not carry.
            self.sock.sendall(self.head_of(status, *(["Content-Length: 9"] if status == 304 else [])))
            return
        head = self.head_of(status, f"Content-Length: {len(body)}")
        self.sock.sendall(head + (b"" if self.method == "HEAD" else body))

    def serve(self, single=False):
        try:
            while self.head():
                if single:
                    self.open = False
                words = self.path.strip("/").split("/")
                at_once = words[0] == "tick"
                if at_once:
                    words.pop(0)
                verb = globals().get("do_" + words[0].replace("-", "_"), do_unknown)
                if words[0] not in ("early", "refuse", "hang"):
                    self.request_body = self.body()
                if at_once:
                    await_tick()
                verb(self, *words[1:])
                if not self.open:
                    return
        except (Gone, OSError):
            pass
        finally:
            self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.open = False


def do_unknown(c, *_):
    c.answer(404)


def do_status(c, status):
    c.answer(int(status))


def do_sleep(c, milliseconds):
    time.sleep(int(milliseconds) / 1000)
    c.answer(200)


def do_hang(c):
    waiting.wait()


def do_chunked(c, n):
    c.sock.sendall(c.head_of(200, "Transfer-Encoding: chunked"))
    for i in range(int(n)):
        data = f"HTTP/1.1 500 chunk {i}\r\n".encode()
        c.sock.sendall(b"%x\r\n%s\r\n" % (len(data), data))
    c.sock.sendall(b"0\r\n\r\n")


def do_trailer(c):
    c.sock.sendall(c.head_of(200, "Trailer: X-Sum", "Transfer-Encoding: gzip, chunked"))
    c.sock.sendall(b'A;quality="0"\r\n0123456789\r\n00b\r\nHTTP/1.1 50\r\n')
    c.sock.sendall(b"000\r\nX-Sum: 5\r\nX-Length: 7\r\n\r\n")


def do_close(c):
    c.open = False
    c.sock.sendall(c.head_of(200))
    for _ in range(3):
        c.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def do_sse(c, milliseconds):
    c.sock.sendall(c.head_of(200, "Content-Type: text/event-stream", "Transfer-Encoding: chunked"))
    end = time.monotonic() + int(milliseconds) / 1000
    while time.monotonic() < end:
        c.sock.sendall(b"f\r\ndata: \"event\"\n\n\r\n")
        time.sleep(0.05)
    c.sock.sendall(b"0\r\n\r\n")


def do_file(c, size):
    size = int(size)
    with open(f"/tmp/{os.getpid()}-{threading.get_ident()}", "w+b") as f:
        os.unlink(f.name)
        f.truncate(size)
        c.sock.sendall(c.head_of(200, f"Content-Length: {size}"))
        at = 0
        while at < size:
            at += os.sendfile(c.sock.fileno(), f.fileno(), at, size - at)


def do_zero(c, size, pause):
    size = int(size)
    c.sock.sendall(c.head_of(200, f"Content-Length: {size}"))
    c.sock.sendall(bytes(size // 2))
    time.sleep(int(pause) / 1000)
    c.sock.sendall(bytes(size - size // 2))


def do_echo(c):
    c.answer(200, c.request_body)


def do_early(c, status):
    c.answer(int(status))
    c.body()


def do_blind(c):
    c.answer(200)
    select.select([c.sock], [], [])
    c.answer(200)
    time.sleep(1)
    c.head()
    c.sock.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")


def do_refuse(c, status):
    c.open = False
    c.answer(int(status))
    c.sock.shutdown(socket.SHUT_WR)
    while c.sock.recv(65536):  # else what comes yet would make a reset of it, which destroys the answer
        pass


def do_hints(c, n):
    for i in range(int(n)):
        c.sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </%d.css>; rel=preload\r\n\r\n" % i)
    c.answer(200)


def do_hints_joined(c):
    c.sock.sendall(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\n\r\n"
                   + c.head_of(200, "Content-Length: 3") + b"ok\n")


def do_upgrade(c):
    c.sock.sendall(c.head_of(101, "Upgrade: parrot", "Connection: Upgrade"))
    do_parrot(c)


def do_tunnel(c):
    c.sock.sendall(c.head_of(200))
    do_parrot(c)


def do_parrot(c):
    c.sock.sendall(c.buffer)
    c.buffer = b""
    while True:
        c.more()
        c.sock.sendall(c.buffer)
        c.buffer = b""


def do_cut(c, at):
    data = c.head_of(200, "Content-Length: 9") + b"as asked\n"
    c.sock.sendall(data[:int(at)])
    c.sock.sendall(data[int(at):])


def do_drip(c):
    for byte in c.head_of(200, "Content-Length: 9") + b"as asked\n":
        c.sock.sendall(bytes([byte]))


def do_half(c):
    c.open = False
    c.sock.sendall(c.head_of(200, "Content-Length: 1000") + b"as asked\n")


def do_reset(c):
    c.reset()


def do_drop(c):
    c.open = False


def do_reset_half(c):
    c.sock.sendall(c.head_of(200, "Content-Length: 1000") + b"as asked\n")
    c.reset()


def do_die(c):
    os._exit(9)


def ask(s):
    """Methods and statuses that nobody asks this server for: they could not be mixed up unseen."""
    s.sendall(b"DELETE /status/404 HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n")
    while s.recv(65536):
        pass


def do_call(c, port, n="1"):
    for i in range(int(n)):
        with socket.create_connection(("127.0.0.1", int(port))) as s:
            ask(s)
    c.answer(200)


def do_again(c, port, n):
    libc = ctypes.CDLL(None, use_errno=True)
    with socket.socket() as s:
        for i in range(int(n)):
            s.connect(("127.0.0.1", int(port)))
            ask(s)
            if libc.connect(s.fileno(), bytes(16), 16) < 0:  # AF_UNSPEC
                raise OSError(ctypes.get_errno(), "connect to nowhere")
    c.answer(200)


def do_keepalive(c):
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT):
        c.sock.setsockopt(socket.IPPROTO_TCP, option, 1)
    waiting.wait()


def listeners(arguments):
    n = int(os.environ.get("LISTEN_FDS", "0"))
    if n:
        return [socket.socket(fileno=3 + i) for i in range(n)]
    found = []
    for family, address, port in ((socket.AF_INET, "0.0.0.0", arguments.port),
                                  (socket.AF_INET6, "::", arguments.port + 1)):
        s = socket.socket(family, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, port))
        found.append(s)
    for s in found:
        if arguments.fastopen:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 64)
        s.listen(512)
    return found


def accept(listener, arguments, context, log):
    def run(sock):
        try:
            if context:
                sock = context.wrap_socket(sock, server_side=True)
            if arguments.at_once:
                await_tick()
            if arguments.banner:
                sock.sendall(arguments.banner.encode() + b"\r\n")
        except OSError:
            sock.close()
            return
        Connection(sock, log).serve(arguments.single)

    while True:
        sock, _ = listener.accept()
        if arguments.single:
            run(sock)
        else:
            threading.Thread(target=run, args=(sock,), daemon=True).start()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", required=True)
    parser.add_argument("--port", type=int)
    parser.add_argument("--single", action="store_true")
    parser.add_argument("--tls")
    parser.add_argument("--fastopen", action="store_true")
    parser.add_argument("--banner")
    parser.add_argument("--at-once", action="store_true")
    arguments = parser.parse_args()
    log = os.open(arguments.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    context = None
    if arguments.tls:
        import ssl
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.tls)
    threads = []
    for listener in listeners(arguments):
        threads.append(threading.Thread(target=accept, args=(listener, arguments, context, log),
                                        daemon=True))
        threads[-1].start()
    ready()
    threads[0].join()


if __name__ == "__main__":
    sys.exit(main())
