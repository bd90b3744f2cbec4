# SPDX-License-Identifier: LGPL-2.1-or-later
"""The application of the quickstart: a small shop, which knows nothing of mendd."""
from flask import Flask, jsonify

app = Flask(__name__)
STOCK = {"apple": 12, "pear": 7}


@app.get("/")
def index():
    return jsonify(STOCK)


@app.get("/health")
def health():
    return "ok\n"
