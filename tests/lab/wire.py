# SPDX-License-Identifier: LGPL-2.1-or-later
"""A TCP client made by hand, on the far end of a TUN device: it puts any segment onto the wire at any time, and is as
correct or as wrong as a case wants it. IPv4 and IPv6, options and extension headers, fragments, fast open.

A Wire is a device with one network: the lab has address 1 in it, the client is address 2. A Flow is one connection.
Nothing is sent by itself but acknowledgements of data in order, while .acknowledges is true.
"""
import fcntl
import os
import select
import socket
import struct
import time

from harness import SLOW, Failure, Skip, run

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
MSS = 1400
FAST_OPEN = 34  # kind of the TCP option
HOP_BY_HOP, FRAGMENT, DESTINATION, TCP = 0, 44, 60, 6


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def extension(kind_of_next, length):
    """An extension header of IPv6 of that many bytes: an option that nobody knows and that says to be skipped then.
    (Linux drops packets with more than 7 bytes of padding.)"""
    option = bytes([0x1e, length - 4]) + bytes(length - 4)
    return bytes([kind_of_next, length // 8 - 1]) + option


class Wire:
    def __init__(self, t):
        n = t.number % 250
        self.name, self.flows, self.ports = f"wire{t.number}", {}, 40000
        self.v4, self.v6 = (f"10.99.{n}.", f"fd99:{n:x}::")
        try:
            self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as e:
            raise Skip(f"/dev/net/tun: {e.strerror}") from e
        t.cleanup(os.close, self.fd)  # the device goes with it
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", self.name.encode(), IFF_TUN | IFF_NO_PI))
        run("ip", "link", "set", self.name, "up")
        run("ip", "address", "add", self.v4 + "1/24", "dev", self.name)
        run("ip", "address", "add", self.v6 + "1/64", "dev", self.name, "nodad")

    def flow(self, u, v6=False, **options):
        """A new connection to the unit; not yet begun."""
        self.ports += 1
        f = Flow(self, u.port + 1 if v6 else u.port, self.ports, v6, **options)
        self.flows[self.ports] = f
        return f

    def write(self, packet):
        os.write(self.fd, packet)

    def pump(self, what, fact, deadline=5.0):
        """Takes what the lab sends until fact() holds."""
        end = time.monotonic() + deadline * SLOW
        while not fact():
            left = end - time.monotonic()
            if left <= 0:
                raise Failure(f"{what}: not within {deadline * SLOW:g} s")
            if not select.select([self.fd], [], [], left)[0]:
                continue
            try:
                packet = os.read(self.fd, 65536)
            except BlockingIOError:
                continue
            self.take(packet)

    def take_all(self):
        """Takes what has come already."""
        while select.select([self.fd], [], [], 0)[0]:
            self.take(os.read(self.fd, 65536))

    def take(self, packet):
        if packet[0] >> 4 == 4:
            if packet[9] != TCP:
                return
            segment = packet[(packet[0] & 15) * 4:struct.unpack("!H", packet[2:4])[0]]
        elif packet[6] == TCP:
            segment = packet[40:]
        else:
            return  # neighbours and routers; no TCP of the lab has extension headers
        flow = self.flows.get(struct.unpack("!H", segment[2:4])[0])
        if flow:
            flow.take(segment)


class Flow:
    def __init__(self, wire, port, own_port, v6, first=None, ip_options=b"", extensions=(), tcp_options=b""):
        """first: sequence number of the SYN. extensions: (kind, bytes) of IPv6, in this order."""
        self.wire, self.port, self.own_port, self.v6 = wire, port, own_port, v6
        self.ip_options, self.extensions, self.tcp_options = ip_options, extensions, tcp_options
        self.sequence = 1000 * own_port if first is None else first  # of the next byte that is new
        self.expected = 0  # the next byte of the lab
        self.window = 65535
        self.acknowledges = True
        self.established = self.finished = self.was_reset = False
        self.data = b""        # received in order, not yet looked at
        self.repeated = 0      # segments with bytes that had come before
        self.probes = 0        # questions whether we are there (keep-alive)
        self.cookie = b""
        self.status = 0

    # --- out -----------------------------------------------------------------------------------

    def addresses(self):
        if self.v6:
            return (socket.inet_pton(socket.AF_INET6, self.wire.v6 + "2"),
                    socket.inet_pton(socket.AF_INET6, self.wire.v6 + "1"))
        return socket.inet_aton(self.wire.v4 + "2"), socket.inet_aton(self.wire.v4 + "1")

    def segment(self, flags, sequence, data, options=b"", acknowledge=None, wrong=False):
        """TCP header and data, with its checksum (or one that is not right)."""
        options += self.tcp_options
        options += bytes([1]) * (-len(options) % 4)
        acknowledge = self.expected if acknowledge is None else acknowledge
        header = struct.pack("!HHIIBBHHH", self.own_port, self.port, sequence & 0xffffffff,
                             acknowledge & 0xffffffff if flags & ACK else 0, (5 + len(options) // 4) << 4, flags,
                             self.window, 0, 0) + options
        source, destination = self.addresses()
        pseudo = source + destination + struct.pack("!IHBB" if self.v6 else "!xB", *(
            (len(header) + len(data), 0, 0, TCP) if self.v6 else (TCP,)))
        if not self.v6:
            pseudo += struct.pack("!H", len(header) + len(data))
        total = checksum(pseudo + header + data)
        if wrong:
            total ^= 0x5555
        return header[:16] + struct.pack("!H", total) + header[18:] + data

    def packets(self, payload, fragments=0):
        """The segment in one packet, or in fragments with at most that many bytes of it each."""
        size = fragments & ~7 or len(payload)
        parts = [(at, payload[at:at + size]) for at in range(0, len(payload), size)]
        for at, part in parts:
            more = at + len(part) < len(payload)
            if self.v6:
                yield self.packet6(part, at, more, bool(fragments))
            else:
                yield self.packet4(part, at, more, bool(fragments))

    def packet4(self, part, at, more, is_fragment):
        source, destination = self.addresses()
        options = self.ip_options + bytes([1]) * (-len(self.ip_options) % 4)
        length = 20 + len(options)
        header = struct.pack("!BBHHHBBH4s4s", 4 << 4 | length // 4, 0, length + len(part),
                             (self.sequence ^ self.own_port) & 0xffff if is_fragment else 0,
                             (0x2000 if more else 0) | at // 8, 64, TCP, 0, source, destination) + options
        return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + part

    def packet6(self, part, at, more, is_fragment):
        source, destination = self.addresses()
        kinds = list(self.extensions)
        if is_fragment:
            kinds.append((FRAGMENT, 8))
        body, kind = part, TCP
        for own_kind, length in reversed(kinds):
            if own_kind == FRAGMENT:
                body = struct.pack("!BBHI", kind, 0, at | more, self.sequence & 0xffffffff) + body
            else:
                body = extension(kind, length) + body
            kind = own_kind
        return struct.pack("!IHBB16s16s", 6 << 28, len(body), kind, 64, source, destination) + body

    def put(self, data=b"", flags=PSH | ACK, offset=0, options=b"", fragments=0, acknowledge=None, wrong=False):
        """A segment whose first byte is `offset` from the next new one. Moves nothing forward."""
        payload = self.segment(flags, self.sequence + offset, data, options, acknowledge, wrong)
        for packet in self.packets(payload, fragments):
            self.wire.write(packet)

    def send(self, data, **options):
        """New bytes, in order, in one segment."""
        self.put(data, **options)
        self.sequence += len(data)

    def acknowledge(self, **options):
        self.put(b"", ACK, **options)

    def connect(self, data=b"", on_syn=b"", options=b""):
        """The handshake; data goes with the ACK that completes it, on_syn with the SYN (after a cookie was had)."""
        self.syn(on_syn, options)
        self.wire.pump("the handshake", lambda: self.established)
        if data:
            self.send(data)
        else:
            self.acknowledge()
        return self

    def syn(self, data=b"", options=b""):
        options = struct.pack("!BBH", 2, 4, MSS) + options
        if data:
            options += bytes([FAST_OPEN, 2 + len(self.cookie)]) + self.cookie
        self.first = self.sequence
        self.put(data, SYN, options=options)
        self.on_syn = data

    # --- in --------------------------------------------------------------------------------------

    def take(self, segment):
        sequence, acknowledged, offset, flags = struct.unpack("!IIBB", segment[4:14])
        data = segment[(offset >> 4) * 4:]
        if flags & RST:
            self.was_reset = True
            return
        if flags & SYN:
            self.take_options(segment[20:(offset >> 4) * 4])
            self.expected = (sequence + 1) & 0xffffffff
            # What it has not taken of the SYN's data has to be sent again.
            self.sequence = acknowledged
            self.established = True
            return
        old = (self.expected - sequence) & 0xffffffff
        if old >= 1 << 31:
            return  # a hole: it comes again
        if old and (data or flags & FIN):
            self.repeated += 1
        if old == 1 and not data:
            self.probes += 1
        if old > len(data) or (not data and not flags & FIN):
            return
        if old < len(data):
            self.data += data[old:]
            self.expected = (self.expected + len(data) - old) & 0xffffffff
        if flags & FIN and not self.finished:
            self.finished = True
            self.expected = (self.expected + 1) & 0xffffffff
        if self.acknowledges:
            self.acknowledge()

    def take_options(self, options):
        while options and options[0]:
            if options[0] == 1:
                options = options[1:]
                continue
            if options[0] == FAST_OPEN:
                self.cookie = options[2:options[1]]
            options = options[options[1]:]

    def head(self):
        """Waits for the head of an answer, takes it; the length of its body."""
        self.wire.pump("an answer", lambda: b"\r\n\r\n" in self.data or self.was_reset)
        if self.was_reset:
            raise Failure("the lab has reset the connection")
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        self.status = int(head.split(b" ")[1])
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return int(line[15:])
        return 0

    def answer(self):
        """Waits for an answer and takes it; its status."""
        n = self.head()
        self.wire.pump("the body of an answer", lambda: len(self.data) >= n)
        self.data = self.data[n:]
        return self.status

    def close(self):
        """Ends it in order."""
        self.put(b"", FIN | ACK)
        self.sequence += 1
        self.wire.pump("the other side's FIN", lambda: self.finished or self.was_reset)
        del self.wire.flows[self.own_port]

    def reset(self, offset=0):
        self.put(b"", RST | ACK, offset=offset)
