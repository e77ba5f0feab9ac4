from pathlib import Path

import pytest

from gpu import selftest
from gpu.cpu import CpuBackend
from gpu.cuda import devices as cuda
from gpu.cuda.images import ImageFolder
from gpu.errors import DeviceUnavailable
from node.sandbox import devices, launch
from node.sandbox.compute import load
from node.sandbox.errors import SandboxNotStarted
from node.sandbox.launch import Program


def test_the_cpu_gets_no_device() -> None:
    assert devices.program_for("cpu") == Program("node.sandbox.compute")


def test_a_gpu_gets_its_files_and_its_kernels(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def prepared(number: int) -> ImageFolder:
        asked.append(number)
        return ImageFolder(tmp_path / "sm_90")

    monkeypatch.setattr(cuda, "prepared_images", prepared)
    monkeypatch.setattr(devices, "driver_folders", lambda _: ("/opt/driver",))
    program = devices.program_for("cuda:3")
    assert asked == [3]
    assert program.libraries == ("pycuda",)
    assert program.variables["LD_LIBRARY_PATH"] == "/opt/driver"
    assert "/opt/driver" in program.readable
    monkeypatch.setattr(launch, "_location", lambda name: f"/packages/{name}")
    assert program.arguments == {"gpu": "3", "images": str(tmp_path / "sm_90")}
    assert str(tmp_path / "sm_90") in program.readable
    assert program.devices == devices.device_files(Path("/dev"))
    plan = launch.plan_launch(program, launch.ResourceLimits(1), tmp_path)
    assert set(program.readable) < set(plan.readable)
    assert plan.arguments == program.arguments
    assert plan.start_s > launch.Program("any").start_s


def test_of_the_drivers_files_those_that_compute(tmp_path: Path) -> None:
    others = ("nvidia-uvm-tools", "nvidia-modeset", "nvidia", "nvidia0.old", "null", "dri")
    computing = ("nvidia-caps", "nvidia-uvm", "nvidia0", "nvidia12", "nvidiactl")
    for name in (*others, *computing):
        (tmp_path / name).touch()
    assert devices.device_files(tmp_path) == tuple(str(tmp_path / name) for name in computing)


def test_the_driver_is_where_the_node_has_found_it() -> None:
    maps = """\
7f00-7f01 r-xp 00000000 08:01 12 /usr/local/nvidia/lib64/libcuda.so.580.159.04
7f01-7f02 rw-p 00001000 08:01 12 /usr/local/nvidia/lib64/libcuda.so.580.159.04
7f02-7f03 r-xp 00000000 08:01 13 /opt/a b/libcuda.so.1
7f03-7f04 r-xp 00000000 08:01 14 /usr/local/cuda/lib64/libcudart.so.13
7f04-7f05 r-xp 00000000 08:01 15 /home/me/libcuda.so.1.txt
7f05-7f06 rw-p 00000000 00:00 0
7f06-7f07 rw-p 00000000 00:00 0  [stack]
"""
    assert devices.driver_folders(maps) == ("/opt/a b", "/usr/local/nvidia/lib64")
    assert devices.driver_folders("") == ()


def test_a_gpu_that_is_not_there_is_one_line_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(number: int) -> ImageFolder:
        raise DeviceUnavailable(f"there is no GPU {number}: CUDA sees 1")

    monkeypatch.setattr(cuda, "prepared_images", unavailable)
    with pytest.raises(SandboxNotStarted, match="'cuda:3' cannot be used: there is no GPU 3") as it:
        devices.program_for("cuda:3")
    assert "tmnode doctor" in it.value.remedy


def test_a_gpu_with_a_wrong_bit_is_refused_where_it_would_compute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cuda, "open_device", lambda *_: CpuBackend("baseline"))
    load("0", str(tmp_path))
    goldens = selftest.known_goldens() | {"top_k": "00"}
    monkeypatch.setattr(selftest, "known_goldens", lambda: goldens)
    with pytest.raises(DeviceUnavailable, match="fails its self-test at top_k"):
        load("0", str(tmp_path))
