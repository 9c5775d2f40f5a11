"""Starts `aisle` without the seconds of importing torch: a process that has imported it forks.

    python nursery.py        # reads orders, one JSON object a line, and answers each with a number

`{"arguments": […], "environment": {…}, "log": path}` starts `aisle` with these arguments and answers its process id.
`{"wait": pid}` answers its exit code, or minus the signal that ended it. What is killed every two seconds could not
even start in that time otherwise. A process stays a zombie until it is waited for, so that its id can mean no other.
"""

import json
import os
import sys
import tempfile
from typing import Any

from sentence_transformers import SentenceTransformer

from aisle import cli


def start(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.environ.update(order["environment"])
    tempfile.tempdir = None  # found anew, in this environment
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = ["aisle", *order["arguments"]]
    cli.main()
    os._exit(0)


def main() -> None:
    assert SentenceTransformer, "It is what a worker imports."
    print(0, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
        else:
            print(start(order), flush=True)


if __name__ == "__main__":
    main()
