import os
import sys
from pathlib import Path

import msgspec
import pytest

import node
from node.sandbox import launch
from node.sandbox.launch import Launch, Program, ResourceLimits

CHECKOUT = Path(next(iter(node.__path__))).parent


@pytest.fixture
def plan(tmp_path) -> Launch:
    program = Program("probe", {"probe": str(tmp_path / "probe.py")})
    return launch.plan_launch(program, ResourceLimits(1 << 20), tmp_path)


def test_no_variable_of_the_node_reaches_the_child(plan, monkeypatch):
    monkeypatch.setenv("TMNODE_PASSPHRASE", "secret")
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setenv("TMNODE_ISA", "baseline")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    variables = launch.environment(plan)
    assert variables["TMNODE_ISA"] == "baseline"
    assert variables["CUDA_VISIBLE_DEVICES"] == "3"  # or GPU 0 would be another one there
    assert not {"TMNODE_PASSPHRASE", "PATH", "HOME", "PYTHONPATH"} & variables.keys()


def test_a_program_brings_variables_and_libraries_of_its_own(tmp_path):
    program = Program("probe", libraries=("pytest",), variables={"LD_LIBRARY_PATH": "/opt/driver"})
    plan = launch.plan_launch(program, ResourceLimits(1), tmp_path)
    assert launch.environment(plan)["LD_LIBRARY_PATH"] == "/opt/driver"
    assert str(Path(pytest.__file__).parents[1].resolve()) in plan.paths
    assert set(plan.paths) <= set(plan.readable)


def test_the_code_is_readable_and_the_folder_around_it_is_not(plan, tmp_path):
    readable = set(map(Path, plan.readable))
    assert {CHECKOUT / "node", tmp_path / "probe.py"} <= readable
    assert not readable & {CHECKOUT, *CHECKOUT.parents, tmp_path, Path.home()}


def test_libraries_are_searched_where_they_lie_and_nowhere_else(plan):
    assert str(Path(msgspec.__file__).parents[1].resolve()) in plan.paths
    assert not {"", ".", os.getcwd(), str(CHECKOUT)} & set(plan.paths)


def test_a_package_that_is_not_there_is_an_import_error(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "_LIBRARIES", ("no_such_package",))
    with pytest.raises(ImportError, match="no_such_package"):
        launch.plan_launch(Program("m"), ResourceLimits(1), tmp_path)


def test_the_command_is_an_isolated_interpreter(plan, tmp_path):
    executable, *flags, script, argument = launch.command(plan)
    assert executable == sys.executable
    assert flags == ["-I", "-S", "-B"]
    assert script.endswith("node/sandbox/bootstrap.py")
    assert msgspec.json.decode(argument, type=Launch) == plan
    assert plan.parent_process_id == os.getpid()
    assert plan.scratch_root == str(tmp_path.resolve())
