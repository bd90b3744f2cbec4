#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Customers of the shop: twenty requests a second until SIGTERM, then what they saw as one JSON line."""
import http.client
import json
import signal
import sys
import time

running = True


def stop(*_):
    global running
    running = False


signal.signal(signal.SIGTERM, stop)
good = bad = 0
first_bad = last_bad = None
next_time = time.monotonic()
while running:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", 5000, timeout=2)
        connection.request("GET", "/")
        ok = connection.getresponse().read() and True
        connection.close()
    except OSError:
        ok = False
    now = time.monotonic()
    if ok:
        good += 1
    else:
        bad += 1
        first_bad = first_bad or now
        last_bad = now
    next_time = max(next_time + 0.05, now)
    time.sleep(max(0.0, next_time - now))
outage = last_bad - first_bad if first_bad else 0.0
json.dump({"good": good, "failed": bad, "outage_seconds": round(outage, 3)}, sys.stdout)
