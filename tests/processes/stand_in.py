"""A process in place of a worker: it answers its parent, and does what ``STAND_IN`` says for its number and start.

``STAND_IN`` is JSON: by number a list of what each start does, the last one from then on. ``ready``; ``away``: not
ready; ``exit N``: end by itself once it answered; ``fault``: end with 78; ``silent``: never answer; ``held``: the loop
makes no progress; ``deaf``: SIGTERM does not end it.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

number, connection = (int(word.partition("=")[2]) for word in sys.argv[-2:])
plan = json.loads(os.environ["STAND_IN"])[str(number)]
starts = Path(os.environ["STAND_IN_STARTS"]) / str(number)
start = starts.stat().st_size if starts.exists() else 0
with starts.open("a") as file:
    file.write("x")
mood = plan[min(start, len(plan) - 1)]
link = socket.socket(fileno=connection)

signal.signal(signal.SIGTERM, signal.SIG_IGN if mood == "deaf" else lambda *_: os._exit(0))
signal.signal(signal.SIGQUIT, lambda *_: os._exit(0))
if mood == "fault":
    sys.exit(os.EX_CONFIG)
while mood == "silent":
    signal.pause()

FACTS = {"host": "127.0.0.1", "port": 0, "open_status": False}
LIVE = {"live": False, "stuck_seconds": 31.0} if mood == "held" else {"live": True}
ANSWERS = {
    "/facts": json.dumps(FACTS),
    "/livez": json.dumps(LIVE),
    "/readyz": json.dumps({"ready": mood != "away", "rabbitmq": mood != "away"}),
    "/status": json.dumps({"in_hand": 2, "unsettled": 3, "apis": {}}),
    "/metrics": "# HELP a_total Words\n# TYPE a_total counter\na_total 1.0\n",
}
for line in link.makefile("r"):
    question, path = line.split()
    body = ANSWERS[path].encode()
    link.sendall(f"{question} 200 {len(body)}\n".encode() + body)
    if mood.startswith("exit") and path == "/livez":
        sys.exit(int(mood.split()[1]))
