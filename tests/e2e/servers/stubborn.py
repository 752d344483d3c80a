"""Ignores the end of input and every signal that can be ignored. Says "ready" on stdout, then does nothing.

`--family N` starts a child that starts a child, N deep, all of them as stubborn; the last one says "ready".
`--mortal` leaves SIGTERM as it is.
"""

import os
import signal
import subprocess
import sys
import time

assert sys.platform != "win32"  # tells the type checker

ignored = [signal.SIGINT, signal.SIGHUP] if "--mortal" in sys.argv else [signal.SIGINT, signal.SIGHUP, signal.SIGTERM]
for number in ignored:
    signal.signal(number, signal.SIG_IGN)
depth = int(sys.argv[sys.argv.index("--family") + 1]) if "--family" in sys.argv else 0
if depth:
    rest = [word for word in sys.argv[1:] if word == "--mortal"]
    subprocess.Popen([sys.executable, "-IS", __file__, *rest, "--family", str(depth - 1)])
else:
    os.write(1, b"ready\n")
while True:
    time.sleep(0.05)
