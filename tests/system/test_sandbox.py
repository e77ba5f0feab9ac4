"""The compute child as a real process: what it does, and what it is kept from doing."""

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from gpu.cpu import CpuBackend
from gpu.workloads import WORKLOADS
from gpu.workloads.base import JobContext, Limits
from node.sandbox import confine
from node.sandbox.errors import (
    ComputeCrashed,
    ComputeFailed,
    LayerMissing,
    OutOfMemory,
    SandboxNotStarted,
    TimeLimitExceeded,
)
from node.sandbox.launch import Program
from node.sandbox.outputs import open_output
from node.sandbox.pool import open_compute_child

pytestmark = pytest.mark.system

CHECKOUT = Path(__file__).parents[2]
PROBE = Path(__file__).with_name("sandbox_probe.py")
PARENT = Path(__file__).with_name("sandbox_parent.py")
PROBING = Program("sandbox_probe", {"sandbox_probe": str(PROBE)})
MEMORY_BYTES = 256 << 20
JOB = JobContext("chain", "task", "worker", 1 << 16)
SYNTHETIC = WORKLOADS["synthetic"]
DENIED = {"EACCES", "EPERM"}
STOPPED_S = 5.0
"""A second on a machine with nothing else to do; the jobs would go on for much longer."""


def ignore(done: float) -> None:
    """A listener that does not care."""


def synthetic(matrix_size: int, iterations: int, **more: object) -> bytes:
    payload = {"seed": "s", "matrix_size": matrix_size, "iterations": iterations, **more}
    return SYNTHETIC.canonical(SYNTHETIC.parse(payload, Limits()))


def unconfined(kind: str, **arguments) -> object:
    """The same attempt from an ordinary child process."""
    command = [sys.executable, "-I", str(PROBE), kind, json.dumps(arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


class Probe:
    """A compute child that runs the probe."""

    def __init__(self, child, scratch: Path) -> None:
        self.child = child
        self.scratch = scratch

    async def __call__(self, kind: str, *, progress=ignore, **arguments):
        parameters = json.dumps(arguments).encode()
        report = await self.child.run(kind, JOB, parameters, self.scratch, progress)
        with open_output(self.scratch, report.outputs[0].file_name) as file:
            content = file.read()
        assert hashlib.sha256(content).digest() == report.outputs[0].sha256
        return json.loads(content)

    async def pid(self) -> int:
        return (await self("process_facts"))["pid"]


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@asynccontextmanager
async def open_probe(scratch: Path, **options):
    with trio.fail_after(20):
        async with open_compute_child(
            memory_limit_bytes=MEMORY_BYTES, scratch_root=scratch, program=PROBING, **options
        ) as child:
            yield Probe(child, scratch)


@pytest.fixture
async def probe(scratch):
    async with open_probe(scratch) as probe:
        yield probe


@pytest.fixture
async def child(scratch):
    async with open_compute_child(memory_limit_bytes=MEMORY_BYTES, scratch_root=scratch) as child:
        yield child


# What it does


async def test_synthetic_jobs_give_what_they_give_without_a_sandbox(child, scratch, tmp_path):
    for attempt, proof in ((1, False), (2, True), (3, False)):
        parameters = synthetic(64, 3, proof=proof)
        job = JobContext("chain", "task", "worker", 1 << 16 | attempt)
        folder, expected_folder = scratch / str(attempt), tmp_path / str(attempt)
        folder.mkdir()
        expected_folder.mkdir()
        report = await child.run("synthetic", job, parameters, folder, ignore)
        expected = SYNTHETIC.run(
            job, SYNTHETIC.from_canonical(parameters), CpuBackend(), expected_folder, ignore
        )
        assert (report.files, report.trace) == (expected.files, expected.trace)
        assert (report.proof is not None) is proof
        assert (report.digest, report.work_units) == (expected.digest, expected.work_units)
        for path in expected_folder.iterdir():
            with open_output(folder, path.name) as file:
                assert file.read() == path.read_bytes()


async def test_a_large_job_is_stopped_and_the_child_stays_warm(child, scratch):
    before, seen = child.process_id, []

    def cancel_after_three(done: float) -> None:
        seen.append(done)
        if len(seen) == 3:
            cancelled_at.append(trio.current_time())
            scope.cancel()

    cancelled_at: list[float] = []
    with trio.CancelScope() as scope:
        await child.run("synthetic", JOB, synthetic(1024, 2000), scratch, cancel_after_three)
    assert scope.cancelled_caught
    assert trio.current_time() - cancelled_at[0] < STOPPED_S
    assert seen == sorted(seen)
    assert seen[-1] < 1
    await child.run("synthetic", JOB, synthetic(16, 1), scratch, ignore)
    assert child.process_id == before


async def test_a_prover_is_stopped(child, scratch):
    """Of so small a chain the proof is almost all of the work."""
    before, cancelled_at = child.process_id, []

    def cancel_in_the_proof(done: float) -> None:
        if done > 0.2 and not cancelled_at:
            cancelled_at.append(trio.current_time())
            scope.cancel()

    with trio.CancelScope() as scope:
        parameters = synthetic(64, 10_000, proof=True)
        await child.run("synthetic", JOB, parameters, scratch, cancel_in_the_proof)
    assert scope.cancelled_caught
    assert trio.current_time() - cancelled_at[0] < STOPPED_S
    assert (scratch / "matrix").exists()  # the chain was done
    assert not (scratch / "proof").exists()
    await child.run("synthetic", JOB, synthetic(16, 1), scratch, ignore)
    assert child.process_id == before


async def test_wrong_parameters_fail_and_the_child_stays(child, scratch):
    before = child.process_id
    with pytest.raises(ComputeFailed, match="PayloadError"):
        await child.run("synthetic", JOB, b"garbage", scratch, ignore)
    with pytest.raises(ComputeFailed, match="KeyError: 'nothing'"):
        await child.run("nothing", JOB, b"", scratch, ignore)
    await child.run("synthetic", JOB, synthetic(16, 1), scratch, ignore)
    assert child.process_id == before


async def test_jobs_wait_for_their_turn(probe):
    pids = []

    async def ask() -> None:
        pids.append(await probe.pid())

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
    assert len(set(pids)) == 1
    assert len(pids) == 5


async def test_scratch_must_lie_below_the_root(probe, tmp_path):
    with pytest.raises(ValueError, match="not below"):
        await probe.child.run("read", JOB, b"{}", tmp_path, ignore)


async def test_a_job_that_ignores_cancel_is_replaced(probe):
    before = await probe.pid()
    cancelled_at = []

    def cancel(_: float) -> None:
        cancelled_at.append(trio.current_time())
        scope.cancel()

    with trio.CancelScope() as scope:
        await probe("ignore_cancel", progress=cancel)
    assert scope.cancelled_caught
    assert 0.5 <= trio.current_time() - cancelled_at[0] < STOPPED_S
    assert await probe.pid() != before


async def test_a_listener_that_raises_stops_the_job(probe):
    def refuse(_: float) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await probe("spin", progress=refuse)
    assert await probe("environment")


async def test_the_wall_clock_limit(probe):
    with pytest.raises(TimeLimitExceeded, match=r"0\.2 s"):
        await probe.child.run("spin", JOB, b"{}", probe.scratch, ignore, wall_limit_s=0.2)
    assert await probe("environment")


async def test_memory_is_bounded(probe):
    before = await probe.pid()
    assert await probe("allocate", size=MEMORY_BYTES // 2) == MEMORY_BYTES // 2
    with pytest.raises(OutOfMemory) as caught:
        await probe("allocate", size=MEMORY_BYTES + (16 << 20))
    assert caught.value.limit_bytes == MEMORY_BYTES
    assert await probe.pid() == before


async def test_files_descriptors_and_threads_are_bounded(probe, scratch):
    assert await probe("fill", path=str(scratch / "large"), size=1 << 37) == "EFBIG"
    assert await probe("start_threads", count=8) == "started"
    with pytest.raises(ComputeFailed, match="thread"):
        await probe("start_threads", count=5000)


async def test_a_child_killed_in_the_middle_is_replaced(probe):
    before = await probe.pid()

    def kill(_: float) -> None:
        os.kill(before, signal.SIGKILL)

    with pytest.raises(ComputeCrashed, match="signal 9"):
        await probe("die_midway", progress=kill)
    assert await probe.pid() != before


async def test_a_child_killed_while_idle_is_replaced(probe):
    before = await probe.pid()
    descriptor = os.pidfd_open(before)
    os.kill(before, signal.SIGKILL)
    await trio.lowlevel.wait_readable(descriptor)
    os.close(descriptor)
    assert await probe.pid() != before


async def test_last_words_are_told_without_control_characters(probe):
    await probe("say", text="one\x1b[2J two\n")
    with pytest.raises(ComputeCrashed, match=r"signal 9 .*last said: one \[2J two$"):
        await probe("die", number=9)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\xff\xff\xff\xff", id="huge length"),
        pytest.param(b"\0\0\0\x04abcd", id="garbage"),
        pytest.param(b"\0\0\0\x0e\x81\xa4type\xa7stopped", id="out of turn"),
        pytest.param(b"\0\0\0\x1b\x82\xa4type\xa8progress\xa4done\xcb" + b"\x7f" * 8, id="number"),
    ],
)
async def test_hostile_bytes_end_only_that_child(probe, sent):
    before = await probe.pid()
    with pytest.raises(ComputeCrashed):
        await probe("send_raw", hexadecimal=sent.hex())
    assert await probe.pid() != before


async def test_a_flood_of_messages_is_cut(probe):
    before = await probe.pid()
    await probe("say", text="x" * 1_000_000)
    assert await probe.pid() == before


# What it is kept from doing


async def test_it_reads_no_file_of_the_node(probe, tmp_path):
    key = tmp_path / "data" / "node.key"
    key.parent.mkdir()
    key.write_text("secret")
    in_the_checkout = str(CHECKOUT / "pyproject.toml")
    for path in (str(key), in_the_checkout, "/etc/passwd", "/proc/self/environ"):
        assert await probe("read", path=path) in DENIED
        assert unconfined("read", path=path) not in DENIED
    assert await probe("read", path=f"{probe.scratch}/../data/node.key") in DENIED


async def test_it_writes_only_in_its_scratch_folder(probe, scratch, tmp_path):
    assert await probe("write", path=str(scratch / "a")) == "written"
    victim = tmp_path / "victim"
    victim.write_text("kept")
    for kind in ("write", "remove", "open_mode"):
        assert await probe(kind, path=str(victim)) in DENIED
    assert await probe("write", path=str(tmp_path / "new")) in DENIED
    assert await probe("symlink", path=str(scratch / "link"), target=str(victim)) in DENIED
    assert victim.read_text() == "kept"
    assert unconfined("open_mode", path=str(victim)) == "changed"
    assert unconfined("write", path=str(victim)) == "written"


@contextlib.contextmanager
def listening(folder: Path):
    """Somebody outside who listens at a port and at a path."""
    path = str(folder / "socket")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path)
        unix.listen()
        yield tcp.getsockname()[1], path


async def test_it_reaches_no_network(probe, tmp_path):
    with listening(tmp_path) as (port, path):
        assert await probe("connect", port=port) in DENIED
        assert await probe("connect_unix", path=path) in DENIED
        assert unconfined("connect", port=port) == "connected"
        assert unconfined("connect_unix", path=path) == "connected"


async def test_it_starts_no_program_and_disturbs_no_process(probe):
    assert await probe("execute", path="/bin/true") in DENIED
    assert await probe("interrupt", process_id=os.getpid()) in DENIED
    assert unconfined("execute", path="/bin/true") == "status 0"
    assert unconfined("interrupt", process_id=os.getpid()) == "allowed"


async def test_it_sees_no_secret_of_the_parents_environment(probe, monkeypatch):
    monkeypatch.setenv("TMNODE_PASSPHRASE", "secret")
    async with open_probe(probe.scratch) as later:
        assert "TMNODE_PASSPHRASE" not in await later("environment")
    assert "TMNODE_PASSPHRASE" in unconfined("environment")
    for file in ("environ", "mem", "maps"):
        assert await probe("read", path=f"/proc/{os.getpid()}/{file}") in DENIED
    assert unconfined("read", path=f"/proc/{os.getpid()}/environ") not in DENIED


async def test_it_loads_nothing_of_the_node_but_the_sandbox(probe):
    modules = set((await probe("process_facts"))["modules"])
    assert not modules & {"trio", "p2p", "storage", "coincurve", "nacl"}


@pytest.mark.parametrize(
    ("layer", "kind", "arguments", "outcome"),
    [
        ("landlock", "read", {"path": "/etc/passwd"}, "EACCES"),
        ("landlock", "write", {"path": "/tmp/sandbox-test"}, "EACCES"),
        ("landlock", "execute", {"path": "/bin/true"}, "EACCES"),
        ("landlock", "connect", {"port": 1}, "EACCES"),
        ("landlock", "interrupt", {"process_id": os.getppid()}, "EPERM"),
        ("namespaces", "connect", {"port": 1}, "ENETUNREACH"),
        ("seccomp", "connect", {"port": 1}, "EPERM"),
        ("seccomp", "execute", {"path": "/bin/true"}, "EPERM"),
        ("seccomp", "interrupt", {"process_id": os.getppid()}, "EPERM"),
        ("seccomp", "open_mode", {"path": "/tmp/sandbox-test"}, "EPERM"),
        ("none", "connect", {"port": 1}, "ECONNREFUSED"),
        ("none", "execute", {"path": "/bin/true"}, "status 0"),
    ],
)
def test_each_layer_alone(layer, kind, arguments, outcome):
    assert with_one_layer(layer, kind, **arguments) == outcome


@pytest.mark.parametrize(("hidden", "readable"), [(False, True), (True, False)])
def test_a_hidden_process_cannot_be_inspected_by_its_own_user(hidden, readable):
    hide = "process.forbid_inspection()" if hidden else ""
    wait = "print(flush=True)\nsys.stdin.read()"
    code = "\n".join((IMPORTS, "process.drop_privileges()", hide, wait))
    with subprocess.Popen(
        [sys.executable, "-I", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as subject:
        assert subject.stdout.readline() == b"\n"
        for file in ("environ", "maps"):
            found = with_one_layer("none", "read", path=f"/proc/{subject.pid}/{file}")
            assert (found not in DENIED) == readable
        subject.communicate()


IMPORTS = f"""
import json, os, socket, sys
from pathlib import Path
sys.path[:0] = {[str(CHECKOUT), str(PROBE.parent), str(Path(msgspec.__file__).parents[1])]!r}
import sandbox_probe
from node.sandbox import confine, landlock, process, seccomp
"""
LAYERS = {
    "landlock": "landlock.restrict([Path('/usr'), Path(sys.prefix)], Path('/dev/shm'))",
    "seccomp": "seccomp.install(os.getpid())",
    "namespaces": "confine.leave_namespaces(100)",
    "none": "",
}


def with_one_layer(layer: str, kind: str, **arguments) -> object:
    """An attempt without capabilities and under one layer only."""
    call = f"print(json.dumps(sandbox_probe.attempt({kind!r}, {arguments!r})))"
    code = "\n".join((IMPORTS, "process.drop_privileges()", LAYERS[layer], call))
    command = [sys.executable, "-I", "-c", code]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


@pytest.mark.parametrize(("devices", "expected"), [((), DENIED), (("/dev/full",), {"ENOSPC"})])
async def test_a_device_is_there_for_the_program_that_is_given_it(scratch, devices, expected):
    given = msgspec.structs.replace(PROBING, devices=devices)
    async with open_compute_child(
        memory_limit_bytes=MEMORY_BYTES, scratch_root=scratch, program=given
    ) as child:
        probe = Probe(child, scratch)
        assert await probe("write", path="/dev/zero") in DENIED
        assert await probe("write", path="/dev/full") in expected


WITH_A_GPU = msgspec.structs.replace(
    PROBING, devices=("/dev/full",), variables={"LD_LIBRARY_PATH": "/opt/driver"}
)
LARGE_BYTES = 1 << 40


@asynccontextmanager
async def open_gpu_probe(scratch: Path):
    async with open_compute_child(
        memory_limit_bytes=MEMORY_BYTES, scratch_root=scratch, program=WITH_A_GPU
    ) as child:
        yield Probe(child, scratch)


async def test_what_a_driver_needs_is_there_for_a_child_with_a_gpu(scratch):
    async with open_gpu_probe(scratch) as probe:
        assert await probe("listen", name="cuda-uvmfd-1-2") == "listening"
        assert await probe("name_a_thread", name="cuda-EvtHandlr") == "cuda-EvtHandlr"
        assert await probe("reserve", size=LARGE_BYTES) == LARGE_BYTES
        assert "LD_LIBRARY_PATH" in await probe("environment")


async def test_and_for_no_other(probe):
    assert await probe("listen", name="cuda-uvmfd-1-2") in DENIED
    assert await probe("name_a_thread", name="cuda-EvtHandlr") in DENIED
    assert await probe("reserve", size=LARGE_BYTES) == "ENOMEM"
    assert "LD_LIBRARY_PATH" not in await probe("environment")


async def test_a_child_with_a_gpu_reaches_nobody(scratch, tmp_path):
    others = f"/proc/{os.getpid()}"
    with listening(tmp_path) as (port, path):
        async with open_gpu_probe(scratch) as probe:
            assert await probe("connect", port=port) in DENIED
            assert await probe("connect_unix", path=path) in DENIED
            assert await probe("connect_to_oneself", name="me") in DENIED
            for file in ("/proc/self/comm", f"{others}/comm", f"{others}/task/{os.getpid()}/comm"):
                assert await probe("write", path=file) in DENIED
    assert unconfined("connect_to_oneself", name="me") == "connected"


async def test_its_memory_is_bounded_too(scratch):
    async with open_gpu_probe(scratch) as probe:
        assert await probe("allocate", size=MEMORY_BYTES // 2) == MEMORY_BYTES // 2
        with pytest.raises(OutOfMemory):
            await probe("allocate", size=MEMORY_BYTES + (16 << 20))


# What it needs


async def test_a_layer_that_is_missing_is_named(scratch):
    with pytest.raises(LayerMissing, match="moon: unknown") as caught:
        async with open_probe(scratch, required={"moon"}):
            pass
    assert caught.value.layers == {"moon": "unknown"}


async def test_a_program_that_does_not_load_is_an_error_with_its_last_words(scratch):
    with pytest.raises(SandboxNotStarted, match="status 1; it last said: ModuleNotFoundError"):
        async with open_compute_child(
            memory_limit_bytes=MEMORY_BYTES, scratch_root=scratch, program=Program("absent")
        ):
            pass


async def test_a_gpu_that_cannot_be_used_is_an_error_that_says_why(scratch):
    gpu = Program("node.sandbox.compute", arguments={"gpu": "99", "images": "/nowhere"})
    with pytest.raises(SandboxNotStarted, match=r"it last said: gpu\.errors\.DeviceUnavailable: "):
        async with open_compute_child(
            memory_limit_bytes=MEMORY_BYTES, scratch_root=scratch, program=gpu
        ):
            pass


def start_parent(*arguments: str, **options) -> subprocess.Popen[bytes]:
    command = [str(options.pop("python", sys.executable)), str(PARENT), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT, **options)


ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join((str(CHECKOUT), str(Path(msgspec.__file__).parents[1]))),
    "TMNODE_PASSPHRASE": "secret",
}


async def test_the_child_dies_with_its_parent(scratch):
    with start_parent(str(scratch)) as parent:
        told = json.loads(parent.stdout.readline())
        descriptor = os.pidfd_open(told["pid"])
        parent.kill()
    with trio.fail_after(5):
        await trio.lowlevel.wait_readable(descriptor)
    os.close(descriptor)


def test_without_landlock_it_refuses_to_start_and_says_what_helps(scratch):
    with start_parent(str(scratch), "without-landlock") as parent:
        told = json.loads(parent.stdout.read())
    assert "landlock: Function not implemented" in told["error"]
    assert "Linux 5.13" in told["error"]


@pytest.mark.skipif(os.getuid() != 0, reason="the other tests run as an ordinary user already")
def test_an_ordinary_user_gets_the_same_sandbox():
    python = interpreter_of_everybody()
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, NOBODY, NOBODY)
        with start_parent(folder, python=python, **AS_NOBODY) as parent:
            told = json.loads(parent.stdout.readline())
            parent.kill()
    assert {confine.LANDLOCK, confine.SECCOMP} <= set(told["layers"])
    assert told["parent"] in DENIED
    assert told["file"] in DENIED
    assert "TMNODE_PASSPHRASE" not in told["environment"]


NOBODY = 65534
AS_NOBODY = {"user": NOBODY, "group": NOBODY, "extra_groups": []}


def interpreter_of_everybody() -> str:
    """An interpreter of this version that another user may execute."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for python in (sys.executable, f"/usr/bin/python{version}"):
        command = [python, "-c", "import trio"]
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True, **AS_NOBODY)
            return python
    pytest.skip("no interpreter here that another user may execute")
