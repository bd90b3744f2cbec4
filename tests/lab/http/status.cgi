#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Answers the status that its query names, to every method, when it has read the body.
cat >/dev/null
case $QUERY_STRING in
204 | 304) printf 'Status: %s\r\n\r\n' "$QUERY_STRING" ;;
*) printf 'Status: %s\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nas asked\n' "$QUERY_STRING" ;;
esac
