"""The first lines a child executes: find the code, give up all rights, then load the rest.

A script, not a module of the package: it runs before `node` can be imported. Only this file and
what `confine` imports runs unconfined, and nothing of a job has been read by then.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType


class FixedPackages:
    """Finds the given top-level modules where it was told, without searching their parent.

    It takes the part of an `importlib.abc.MetaPathFinder`, whose import alone costs 20 ms.
    """

    def __init__(self, locations: dict[str, str]):
        # Looked up now: after confinement the parent folders cannot be listed.
        self._specs = {
            name: PathFinder.find_spec(name, [str(Path(location).parent)])
            for name, location in locations.items()
        }

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of one of the packages; None for everything else."""
        del path, target
        return self._specs.get(fullname)


def main(argument: str) -> None:
    """Confine this process as the launch says and serve jobs until the parent closes the pipe."""
    told = json.loads(argument)
    sys.path += told["paths"]
    sys.meta_path.insert(0, FixedPackages(told["packages"]))

    import msgspec

    from node.sandbox.confine import confine
    from node.sandbox.launch import Launch

    launch = msgspec.convert(told, Launch)
    size_file = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    layers = confine(launch)

    from node.sandbox.child import serve

    serve(launch, layers, size_file)


if __name__ == "__main__":
    main(sys.argv[1])
