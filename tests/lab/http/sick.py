# SPDX-License-Identifier: LGPL-2.1-or-later
"""An application that falls ill when it is told to; a restart cures it.

    gunicorn sick:app
    sick.py --port PORT [--tls CERTIFICATE] [--ill-while FILE]

GET /                 as it is: 200 while it is well
GET /become/WHAT[/N]  from now on it is
    well              200
    failing           500
    refusing          503
    slow              200, N milliseconds late
    busy              200, after N milliseconds of a processor's time
    mixed             200; of twenty, two come N milliseconds late and one is a 500
    relay             what the server at port N of this host answers; 502 where it does not
GET /status/N         N
GET /lock             takes a lock, and takes it again: this thread does not come back
GET /deaf             stops listening, and lives on

With --ill-while it answers 500 while that file exists, whatever else it is.
"""
import argparse
import http.client
import os
import signal
import socketserver
import sys
import threading
import time
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from notify import ready

LOCK = threading.Lock()


class State:
    what, number, asked, file = "well", 0, 0, None


def spin(milliseconds):
    end = time.thread_time() + milliseconds / 1000
    while time.thread_time() < end:
        pass


def relay(port):
    try:
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        c.request("GET", "/")
        return c.getresponse().status
    except OSError:
        return 502


def as_it_is():
    what, number = State.what, State.number
    if State.file and os.path.exists(State.file):
        return 500
    if what == "slow":
        time.sleep(number / 1000)
    elif what == "busy":
        spin(number)
    elif what == "relay":
        return relay(number)
    elif what == "mixed":
        State.asked += 1
        if State.asked % 10 == 0:
            time.sleep(number / 1000)
        return 500 if State.asked % 20 == 5 else 200
    return {"failing": 500, "refusing": 503}.get(what, 200)


def answer(path):
    words = path.strip("/").split("/")
    if words == [""]:
        return as_it_is()
    if words[0] == "become":
        State.what, State.number = words[1], int(words[2]) if len(words) > 2 else 0
        return 200
    if words[0] == "status":
        return int(words[1])
    if words[0] == "lock":
        with LOCK, LOCK:
            return 200
    if words[0] == "deaf":
        threading.Thread(target=Server.running.shutdown).start()
        return 200
    return 404


def app(environ, start_response):
    status = answer(environ["PATH_INFO"])
    body = b"as it is\n"
    start_response(f"{status} {http.client.responses[status]}",
                   [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


class Handler(WSGIRequestHandler):
    def log_message(self, *_):
        """The journal is for other things."""


class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 512
    running = None
    context = None

    def server_bind(self):  # the parent asks who 127.0.0.1 is
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address
        self.setup_environ()

    def finish_request(self, request, client_address):
        try:
            if self.context:
                with self.context.wrap_socket(request, server_side=True) as encrypted:
                    super().finish_request(encrypted, client_address)
            else:
                super().finish_request(request, client_address)
        except OSError:  # the client has gone, or speaks something else
            pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--tls")
    parser.add_argument("--ill-while")
    arguments = parser.parse_args()
    State.file = arguments.ill_while
    Server.running = server = Server(("127.0.0.1", arguments.port), Handler)
    server.set_app(app)
    if arguments.tls:
        import ssl
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(arguments.tls)
    ready()
    server.serve_forever()
    server.server_close()
    while True:  # deaf
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
