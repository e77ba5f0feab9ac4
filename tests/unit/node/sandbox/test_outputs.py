import os

import msgspec
import pytest

from gpu.workloads.base import OutputFile, RunReport
from node.sandbox.errors import OutputRejected
from node.sandbox.outputs import check_outputs, open_output


def report(file_name: str, size: int) -> RunReport:
    return RunReport((OutputFile("matrix", file_name, size, bytes(32)),), (), bytes(32), 1, 0.0)


def test_a_plain_file_is_opened(tmp_path):
    (tmp_path / "matrix.bin").write_bytes(b"abc")
    with open_output(tmp_path, "matrix.bin") as file:
        assert file.read() == b"abc"
    check_outputs(report("matrix.bin", 3), tmp_path)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "../secret", "/etc/passwd", "a\0b", "a\n", "x" * 129]
)
def test_only_plain_names(tmp_path, name):
    with pytest.raises(OutputRejected, match="not a plain file name"):
        open_output(tmp_path, name)


def test_a_file_of_another_size_or_no_file_is_rejected(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    with pytest.raises(OutputRejected, match="3 bytes, reported as 4"):
        check_outputs(report("a", 4), tmp_path)
    with pytest.raises(OutputRejected, match="No such file"):
        check_outputs(report("b", 4), tmp_path)


def test_a_proof_is_checked_as_outputs_are(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    proof = OutputFile("proof", "proof", 2, bytes(32))
    proven = msgspec.structs.replace(report("a", 3), proof=proof)
    with pytest.raises(OutputRejected, match="No such file"):
        check_outputs(proven, tmp_path)
    (tmp_path / "proof").write_bytes(b"p")
    with pytest.raises(OutputRejected, match="1 bytes, reported as 2"):
        check_outputs(proven, tmp_path)
    (tmp_path / "proof").write_bytes(b"pp")
    check_outputs(proven, tmp_path)


def test_links_pipes_and_folders_are_rejected_without_waiting(tmp_path):
    secret, scratch = tmp_path / "secret", tmp_path / "scratch"
    secret.write_text("key")
    scratch.mkdir()
    (scratch / "symbolic").symlink_to(secret)
    (scratch / "hard").hardlink_to(secret)
    os.mkfifo(scratch / "pipe")
    (scratch / "folder").mkdir()
    for name in ("symbolic", "hard", "pipe", "folder"):
        with pytest.raises(OutputRejected):
            open_output(scratch, name)


def test_a_scratch_folder_that_became_a_link_is_rejected(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_text("x")
    (tmp_path / "scratch").symlink_to(tmp_path / "real")
    with pytest.raises(OutputRejected):
        open_output(tmp_path / "scratch", "a")
