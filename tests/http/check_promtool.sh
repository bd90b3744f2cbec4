#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The page of metrics through Prometheus' own checker. usage: check_promtool.sh PATH-OF-serve
set -eu
command -v promtool >/dev/null || { echo "skipped: promtool (package prometheus) is missing"; exit 77; }
command -v curl >/dev/null || { echo "skipped: curl is missing"; exit 77; }
dir=$(mktemp -d)
mkfifo "$dir/port"
"$1" 8 >"$dir/port" &
pid=$!
trap 'kill $pid; rm -r "$dir"' EXIT
read -r port <"$dir/port"
curl -sSf "http://127.0.0.1:$port/metrics" >"$dir/page"
said=$(promtool check metrics <"$dir/page" 2>&1) || { echo "$said"; exit 1; }
# It ends with 0 for mere advice; we want none.
[ -z "$said" ] || { echo "$said"; exit 1; }
echo "clean: $(wc -l <"$dir/page") lines"
