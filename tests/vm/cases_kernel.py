# SPDX-License-Identifier: LGPL-2.1-or-later
"""What depends on the kernel."""
from harness import case, expect, run_raw, journal
import json

@case("doctor")
def doctor(t):
    print(run_raw("mendctl", "doctor").stdout)
    print("\n".join(x["MESSAGE"] for x in journal("_SYSTEMD_UNIT=mendd.service")))
