"""`python tests/system/altered FOLDER ARGUMENTS…`: `tmnode` with alterations.

All are off until the file FOLDER/switches.json names them, and can be switched while it runs:
faults of the node and its owner (`actors`, `lies`, `clock`), and protections of the product that
are missing (`protections`).
"""

import sys
from pathlib import Path

import actors
from clock import shift_clock
from lies import let_lie
from patching import Patcher
from protections import switch_protections
from switches import Switches
from wire import alter_messages

from node.cli.main import main

if __name__ == "__main__":
    switches = Switches(Path(sys.argv.pop(1)))
    shift_clock(switches)
    alter_messages(switches, actors.ANSWERS, actors.REQUESTS)
    let_lie(switches)
    switch_protections(Patcher(switches))
    main()
