import pytest

from gpu import doctor, selftest
from gpu.cuda.devices import DeviceInfo, Found, find_devices
from gpu.errors import CompilationFailed, DeviceUnavailable

CARD = DeviceInfo(0, "Card", (9, 0), 80 << 30)
NO_GPU = Found((), "CUDA sees no GPU")
ALL = len(selftest.CASES)


@pytest.fixture
def one_wrong(monkeypatch):
    """The self-test expects something else of softmax."""
    goldens = selftest.known_goldens() | {"softmax": "00"}
    monkeypatch.setattr(selftest, "known_goldens", lambda: goldens)


def test_the_cpu_is_always_examined():
    (cpu,) = doctor.examine(NO_GPU)
    assert (cpu.device, cpu.right, cpu.problem) == ("cpu", ALL, "")
    assert cpu.description.startswith("cpu/")


def test_each_gpu_is_examined(monkeypatch, oracle):
    opened = []

    def opens(number, cache):
        opened.append((number, cache))
        return oracle

    monkeypatch.setattr(doctor, "_opened", opens)
    _, first, second = doctor.examine(Found((CARD, CARD._replace(number=1)), ""))
    assert first == ("cuda:0", "Card, compute capability 9.0, 80 GiB", ALL, "")
    assert second.device == "cuda:1"
    assert opened == [(0, None), (1, None)]


def test_the_operation_that_is_wrong_is_named(one_wrong, oracle):
    (cpu,) = doctor.examine(NO_GPU)
    assert cpu.right == ALL - 1
    assert cpu.problem == "softmax: its bits differ from the reference's"
    with pytest.raises(
        DeviceUnavailable, match=r"cpu/baseline fails its self-test at softmax .* not"
    ):
        doctor.require_healthy(oracle)


def test_a_healthy_device_is_not_refused(oracle):
    doctor.require_healthy(oracle)


def test_a_device_that_does_not_open_says_why(monkeypatch):
    def fails(number, cache):
        raise CompilationFailed("rows", 90, "no")

    monkeypatch.setattr(doctor, "_opened", fails)
    _, card = doctor.examine(Found((CARD,), ""))
    assert (card.right, card.problem) == (0, "rows.cu for sm_90: no")


def test_without_a_gpu_the_reason_is_told():
    found = find_devices()
    assert bool(found.devices) != bool(found.problem)
