import re

import pytest

from gpu.cpu import CpuBackend, library
from gpu.cpu.library import Pool, load_kernels, succeed, supported_isas
from gpu.errors import KernelFailed, KernelsUnavailable
from gpu.ops import Binary, Unary


def test_the_best_instruction_set_comes_first_and_the_baseline_is_always_there():
    isas = supported_isas()
    assert isas[-1] == "baseline"
    assert load_kernels().isa == isas[0]


def test_environment_chooses_the_instruction_set(monkeypatch):
    monkeypatch.setenv("TMNODE_ISA", "baseline")
    assert CpuBackend().name == "cpu/baseline"


def test_argument_wins_over_environment(monkeypatch):
    monkeypatch.setenv("TMNODE_ISA", "nonsense")
    assert load_kernels("baseline").isa == "baseline"


def test_unknown_instruction_set_names_those_there_are(monkeypatch):
    monkeypatch.setenv("TMNODE_ISA", "avx1024")
    with pytest.raises(KernelsUnavailable, match=r"'avx1024'.*baseline.*TMNODE_ISA"):
        CpuBackend()


def test_missing_library_says_how_to_build_it(tmp_path):
    with pytest.raises(KernelsUnavailable, match=r"not built .*build_ext --inplace"):
        load_kernels(path=tmp_path / "libtmkernels.so")


def test_file_that_is_no_library(tmp_path):
    path = tmp_path / "libtmkernels.so"
    path.write_bytes(b"not a library")
    with pytest.raises(KernelsUnavailable, match="cannot be loaded"):
        load_kernels(path=path)


def test_library_of_another_version(monkeypatch):
    built = library.ABI
    monkeypatch.setattr(library, "ABI", built + 1)
    with pytest.raises(KernelsUnavailable, match=rf"has version {built} .* {built + 1} is needed"):
        load_kernels()


def test_library_with_other_structures(monkeypatch):
    monkeypatch.setattr(library, "STRUCTURES", library.STRUCTURES[:-1])
    with pytest.raises(KernelsUnavailable, match="other structures"):
        load_kernels()


def test_too_many_threads():
    with pytest.raises(KernelsUnavailable, match="100000 threads"):
        CpuBackend(threads=100_000)


def test_a_closed_pool_stays_closed():
    pool = Pool(3)
    pool.close()
    pool.close()
    assert pool.address is None


def test_functions_have_the_numbers_of_the_header():
    text = (library.LIBRARY.parent / "csrc" / "math" / "unary.h").read_text()
    for macro, names in (("UNARY", Unary), ("BINARY", Binary)):
        found = re.search(rf"#define TM_{macro}_FUNCTIONS\(F\)((?:.*\\\n)*.*)", text)[1]
        assert re.findall(r"F\((\w+)\)", found) == [name.name.lower() for name in names]


def test_status_becomes_an_error():
    succeed("expand", 0)
    with pytest.raises(KernelFailed, match="expand: the workspace is too small"):
        succeed("expand", 2)


def test_this_files_abi_is_the_headers():
    header = (library.LIBRARY.parent / "csrc" / "tmkernels.h").read_text()
    assert re.search(r"#define TMK_ABI (\d+)", header)[1] == str(library.ABI)
