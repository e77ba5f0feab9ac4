"""The kernels as CUDA's compiler sees them; no GPU is needed."""

import pytest

from gpu.cuda import compiler as compilers
from gpu.cuda import inspection, sources
from gpu.cuda.compiler import ARCHITECTURES, Compiler
from gpu.cuda.images import compile_checked
from gpu.errors import CompilationFailed, DeviceUnavailable

MOST_REGISTERS = 255
MOST_STACK_BYTES = 64  # the bits of 2/pi that far angles index
# Of tiles of floats, stored and read, outside their innermost steps: the price of a second block
# beside the first, which is worth more. On compute capability 9.0 only convolutions spill.
MOST_SPILL_BYTES, MOST_SPILT_STACK_BYTES = 448, 128
# Every source for one architecture; what depends on the architecture, for Turing too.
QUICK = [*((name, 90) for name in sources.NAMES), ("integers", 75), ("quantized", 75)]


class Remembering(Compiler):
    """Compiles a source of the product once."""

    def __init__(self):
        super().__init__()
        self._kept = {}

    def once(self, name, architecture):
        if (name, architecture) not in self._kept:
            self._kept[name, architecture] = self.compile(name, architecture)
        return self._kept[name, architecture]


@pytest.fixture(scope="module")
def compiler():
    return Remembering()


def check(compiler, name, architecture):
    compiled = compiler.once(name, architecture)
    assert "warning" not in compiled.log
    assert inspection.forbidden(compiled.ptx) == []
    usages = inspection.usages(compiled.log)
    assert len(usages) == compiled.ptx.count(".entry ")
    for usage in usages:
        spilling = usage.kernel.endswith("_fours")
        assert usage.spill_bytes <= (MOST_SPILL_BYTES if spilling else 0), usage
        assert usage.stack_bytes <= (MOST_SPILT_STACK_BYTES if spilling else MOST_STACK_BYTES), (
            usage
        )
        assert usage.registers <= MOST_REGISTERS, usage
        assert usage.shared_bytes <= 48 * 1024, usage
    assert compiled.cubin.startswith(b"\x7fELF")
    return compiled


@pytest.mark.parametrize(("name", "architecture"), QUICK)
def test_sources_compile_to_what_is_allowed(compiler, name, architecture):
    check(compiler, name, architecture)


@pytest.mark.full
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", sources.NAMES)
def test_on_every_architecture(compiler, name, architecture):
    check(compiler, name, architecture)


@pytest.mark.parametrize(("architecture", "instruction"), [(75, "m8n8k16"), (90, "m16n8k32")])
def test_bytes_are_multiplied_by_tensor_cores(compiler, architecture, instruction):
    assert f"mma.sync.aligned.{instruction}" in compiler.once("integers", architecture).ptx


@pytest.fixture
def texts(monkeypatch):
    """Sources of the test's own."""
    own = {}
    monkeypatch.setattr(sources, "text_of", own.__getitem__)
    return own


KERNEL = 'extern "C" __global__ void k(float *x) { %s; }'


@pytest.mark.parametrize(
    ("statement", "instruction"),
    [
        ("x[0] = __expf(x[1])", "ex2.approx.f32"),
        ("x[0] = fmaxf(x[0], x[1])", "max.f32"),
        ("atomicAdd(x, x[1])", "atom.global.add.f32"),
    ],
)
def test_approximations_and_atomics_are_refused(compiler, texts, statement, instruction):
    texts["k"] = KERNEL % statement
    with pytest.raises(CompilationFailed, match=f"k.cu for sm_90: .*{instruction}"):
        compile_checked(compiler, "k", 90)


def test_products_and_sums_are_not_contracted(compiler, texts, monkeypatch):
    texts["k"] = KERNEL % "x[0] = x[1] * x[2] + x[3]"
    assert "fma" not in compiler.compile("k", 90).ptx
    assert compile_checked(compiler, "k", 90)
    monkeypatch.setattr(compilers, "FLAGS", ("--std=c++17",))
    assert "fma.rn.f32" in compiler.compile("k", 90).ptx


def test_what_does_not_compile_says_why(compiler, texts):
    texts["k"] = KERNEL % "y = 1"
    with pytest.raises(CompilationFailed, match='identifier "y" is undefined'):
        compiler.compile("k", 90)


def test_without_nvrtc_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(compilers, "_candidates", lambda: iter(()))
    with pytest.raises(DeviceUnavailable, match=r"pip install tmnode\[gpu\]"):
        Compiler()
