"""RECORDING PORT CYCLE_S: gpsd on a port, fed with a recording over and over, a sentence each so many seconds.

This is the engine of gpsfake (package python3-gps). Its command is in gpsd-clients, with half a gigabyte of GTK and
matplotlib for the other clients. Runs under the distribution's Python.
"""

import signal
import sys
import time

from gps import fake

recording, port, cycle_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # gpsd is ended at the exit
session = fake.TestSession(options="-n", port=port, timeout=600)
session.spawn()
try:
    session.gps_add(recording, speed=4800, pred=lambda _line, _receiver: time.sleep(cycle_s) or True)
    session.run()
finally:
    session.cleanup()
