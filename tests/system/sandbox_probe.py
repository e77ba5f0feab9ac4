"""A program for the compute child that tries what a hostile job would try.

`kind` names the attempt, the parameters are JSON. What came of it is written to the file
`answer.json`. Run as a script, the same attempt is made without any confinement, as a control.
"""

import contextlib
import errno
import hashlib
import json
import mmap
import os
import signal
import socket
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

ANSWER = "answer.json"


def load():
    """The program's entry: every job is one attempt."""
    from gpu.workloads.base import OutputFile, RunReport

    def run(kind, job, parameters, scratch, progress):
        arguments = json.loads(parameters)
        if kind in WITH_PROGRESS:
            answer = WITH_PROGRESS[kind](progress, **arguments)
        else:
            answer = attempt(kind, arguments)
        content = json.dumps(answer).encode()
        (scratch / ANSWER).write_bytes(content)
        digest = hashlib.sha256(content).digest()
        output = OutputFile("answer", ANSWER, len(content), digest)
        return RunReport((output,), (), digest, 1, 0.0)

    return run


def attempt(kind: str, arguments: dict[str, Any]) -> Any:
    """What the attempt gives, or the name of the error the system gave."""
    try:
        return ATTEMPTS[kind](**arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)


def read(path: str) -> str:
    return Path(path).read_bytes()[:4096].decode("utf-8", "replace")


def write(path: str) -> str:
    Path(path).write_text("written")
    return "written"


def remove(path: str) -> str:
    os.unlink(path)
    return "removed"


def open_mode(path: str) -> str:
    os.chmod(path, 0o777)
    return "changed"


def symlink(path: str, target: str) -> str:
    os.symlink(target, path)
    return "linked"


def connect(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        return "connected"


def connect_unix(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        return "connected"


def listen(name: str) -> str:
    """At a Unix socket without a file, as CUDA's driver does when it starts."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        return "listening"


def connect_to_oneself(name: str) -> str:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client,
    ):
        listener.bind(f"\0{name}")
        listener.listen()
        client.connect(f"\0{name}")
        return "connected"


def name_a_thread(name: str) -> str:
    """Another one's name, as CUDA's driver does."""
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    try:
        path = Path(f"/proc/self/task/{thread.native_id}/comm")
        path.write_text(name)
        return path.read_text().strip()
    finally:
        go.set()


def reserve(size: int) -> int:
    """Address space alone, as CUDA's driver does for the memory of a device."""
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0) as reserved:
        return len(reserved)


def execute(path: str) -> str:
    pid = os.posix_spawn(path, [path], {})
    return f"status {os.waitpid(pid, 0)[1]}"


def interrupt(process_id: int) -> str:
    os.kill(process_id, 0)
    return "allowed"


def environment() -> list[str]:
    return sorted(os.environ)


def process_facts() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "cwd": os.getcwd(),
        "modules": sorted(name for name in sys.modules if "." not in name),
    }


def allocate(size: int) -> int:
    return len(bytearray(size))


def fill(path: str, size: int) -> int:
    with open(path, "wb") as file:
        return os.posix_fallocate(file.fileno(), 0, size) or size


def start_threads(count: int) -> str:
    go = threading.Event()
    threads = [threading.Thread(target=go.wait) for _ in range(count)]
    try:
        for thread in threads:
            thread.start()
    finally:
        go.set()
    return "started"


def fail(text: str) -> None:
    raise ValueError(text)


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def say(text: str) -> str:
    os.write(1, text.encode())
    os.write(2, text.encode())
    return "said"


def send_raw(hexadecimal: str) -> None:
    """Write bytes of one's own choice to the node and then compute for ever."""
    for descriptor in range(3, 64):
        with contextlib.suppress(OSError):
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                os.write(descriptor, bytes.fromhex(hexadecimal))
    threading.Event().wait()


def spin(progress: Callable[[float], None]) -> None:
    done = 0.0
    while True:
        done = (1 + done) / 2
        progress(done)


def ignore_cancel(progress: Callable[[float], None]) -> None:
    progress(0.5)
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    threading.Event().wait()


def die_midway(progress: Callable[[float], None]) -> None:
    progress(0.5)
    threading.Event().wait()


ATTEMPTS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        read,
        write,
        remove,
        open_mode,
        symlink,
        connect,
        connect_unix,
        listen,
        connect_to_oneself,
        name_a_thread,
        reserve,
        execute,
        interrupt,
        environment,
        process_facts,
        allocate,
        fill,
        start_threads,
        fail,
        die,
        say,
        send_raw,
    )
}
WITH_PROGRESS: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (spin, ignore_cancel, die_midway)
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(attempt(sys.argv[1], json.loads(sys.argv[2]))))
