import hashlib

import pytest

from gpu.cuda import images, sources
from gpu.cuda.compiler import Compiled
from gpu.errors import CompilationFailed, DeviceUnavailable


class CountingCompiler:
    """Makes a cubin of each name, and fails where it is told to."""

    version = "1.0"

    def __init__(self, failing=None):
        self.failing = failing
        self.asked = []

    def compile(self, name, architecture):
        self.asked.append((name, architecture))
        if name == self.failing:
            raise CompilationFailed(name, architecture, "no")
        return images_of(name, architecture)


def images_of(name, architecture):
    return Compiled(f"{name} {architecture}".encode(), "", "")


def test_each_architecture_is_compiled_once(tmp_path):
    compiler = CountingCompiler()
    folder = images.prepare(compiler, 90, tmp_path)
    assert dict(folder) == {name: f"{name} 90".encode() for name in sources.NAMES}
    again = images.prepare(compiler, 90, tmp_path)
    assert (again.path, len(compiler.asked)) == (folder.path, len(sources.NAMES))
    assert images.prepare(compiler, 80, tmp_path).path != folder.path
    with pytest.raises(KeyError):
        folder["nothing"]


def test_another_compiler_or_text_is_another_folder(tmp_path, monkeypatch):
    compiler = CountingCompiler()
    first = images.prepare(compiler, 90, tmp_path).path
    compiler.version = "1.1"
    second = images.prepare(compiler, 90, tmp_path).path
    monkeypatch.setattr(sources, "digest", lambda: bytes(32))
    third = images.prepare(compiler, 90, tmp_path).path
    assert len({first, second, third}) == 3


def test_what_fails_leaves_nothing(tmp_path):
    with pytest.raises(CompilationFailed):
        images.prepare(CountingCompiler(failing=sources.NAMES[-1]), 90, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_faster_of_two_processes_wins(tmp_path):
    class Slow(CountingCompiler):
        def compile(self, name, architecture):
            if name == sources.NAMES[0]:
                images.prepare(CountingCompiler(), architecture, tmp_path)
            return super().compile(name, architecture)

    folder = images.prepare(Slow(), 90, tmp_path)
    assert len(folder) == len(sources.NAMES)
    assert [path.name for path in tmp_path.iterdir()] == [folder.path.name]


def test_damage_is_seen(tmp_path):
    folder = images.prepare(CountingCompiler(), 90, tmp_path)
    path = folder.path / "rows.cubin"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(DeviceUnavailable, match="is damaged"):
        folder["rows"]


def test_the_digest_covers_every_header(tmp_path, monkeypatch):
    """A header that is not counted would leave old cubins in use."""
    before = sources.digest()
    included = {
        line.split('"')[1]
        for name in sources.NAMES
        for line in sources.text_of(name).splitlines()
        if line.startswith('#include "')
    }
    assert {path.rpartition("/")[0] for path in included} <= {"cuda", "math", "residues", "shapes"}
    copy = tmp_path / "csrc"
    for folder in ("cuda/include", "math", "residues", "shapes"):
        (copy / folder).mkdir(parents=True)
    for path in sources.SOURCES.rglob("*"):
        target = copy / path.relative_to(sources.SOURCES)
        if path.is_file() and target.parent.is_dir():
            target.write_bytes(path.read_bytes())
    monkeypatch.setattr(sources, "SOURCES", copy)
    assert sources.digest() == before
    digests = set()
    for path in ("cuda/l128.h", "math/scalar.h", "residues/field.h", "tmkernels.h"):
        with (copy / path).open("a") as file:
            file.write("\n")
        digests.add(hashlib.sha256(sources.digest()).digest())
    assert len(digests) == 4
