import importlib.util
from pathlib import Path

from node.sandbox.bootstrap import FixedPackages


def test_packages_and_modules_are_found_where_told(tmp_path: Path):
    (tmp_path / "parcel").mkdir()
    (tmp_path / "parcel" / "__init__.py").write_text("")
    (tmp_path / "single.py").write_text("VALUE = 7")
    (tmp_path / "untold.py").write_text("")
    finder = FixedPackages(
        {"parcel": str(tmp_path / "parcel"), "single": str(tmp_path / "single.py")}
    )
    parcel, single = finder.find_spec("parcel", None), finder.find_spec("single", None)
    assert parcel is not None
    assert parcel.submodule_search_locations == [str(tmp_path / "parcel")]
    assert single is not None
    module = importlib.util.module_from_spec(single)
    single.loader.exec_module(module)
    assert module.VALUE == 7
    assert finder.find_spec("untold", None) is None
