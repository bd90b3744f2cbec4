# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Flask application of the tests: /status/N answers N to every method, /sleep/MS late."""
import time

from flask import Flask, Response, request

app = Flask(__name__)
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"]


@app.route("/status/<int:status>", methods=METHODS, provide_automatic_options=False)
def answer(status):
    if status != 413:  # that is said before the body has been read
        request.get_data()
    return Response("" if status in (204, 304) else "as asked\n", status)


@app.route("/sleep/<int:milliseconds>")
def sleep(milliseconds):
    time.sleep(milliseconds / 1000)
    return "late\n"
