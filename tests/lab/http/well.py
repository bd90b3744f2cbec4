# SPDX-License-Identifier: LGPL-2.1-or-later
"""Answers every request with 200, and does as little as that takes: well.py PORT. A crowd of them costs nothing."""
import socket
import sys

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"


def main():
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                if connection.recv(65536):
                    connection.sendall(ANSWER)


if __name__ == "__main__":
    main()
