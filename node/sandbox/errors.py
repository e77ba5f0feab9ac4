"""What can go wrong with the compute child.

SandboxError
├── SandboxNotStarted   the child did not become ready
│   └── LayerMissing    this system does not offer a required layer of the sandbox
├── ComputeFailed       the workload raised; the child is well
├── OutOfMemory         the job needed more than the memory limit
├── TimeLimitExceeded   the job took longer than the caller allows
├── ComputeCrashed      the child died, or sent what it must not; a new one is started
└── OutputRejected      a file of a job is not a plain file of the reported size
"""

from collections.abc import Mapping

from node.errors import NodeError


class SandboxError(NodeError):
    """Base of all errors of the compute child."""


class SandboxNotStarted(SandboxError):
    """The child ended or stayed silent before it was ready."""

    code = "unavailable"


class LayerMissing(SandboxNotStarted):
    """A required layer is not offered here; `layers` maps each one to what the system said."""

    def __init__(self, layers: Mapping[str, str], remedy: str):
        self.layers = dict(layers)
        listed = "; ".join(f"{name}: {problem}" for name, problem in self.layers.items())
        super().__init__(f"the sandbox cannot be built here ({listed})", remedy=remedy)


class ComputeFailed(SandboxError):
    """The workload gave up; `reason` is its own text, cleaned and cut."""

    def __init__(self, reason: str):
        super().__init__(f"the job failed: {reason}")
        self.reason = reason


class OutOfMemory(SandboxError):
    """The job asked for more memory than the child may have."""

    def __init__(self, limit_bytes: int):
        super().__init__(
            f"the job needed more than {limit_bytes} bytes of memory",
            remedy="offer the job to a worker with more memory or raise the memory limit",
        )
        self.limit_bytes = limit_bytes


class TimeLimitExceeded(SandboxError):
    """The job was stopped because its wall-clock limit had passed."""

    def __init__(self, limit_s: float):
        super().__init__(f"the job was stopped after its limit of {limit_s:g} s")
        self.limit_s = limit_s


class ComputeCrashed(SandboxError):
    """The child died during the job or broke the protocol and was killed."""

    def __init__(self, reason: str):
        super().__init__(f"the compute child was lost: {reason}")
        self.reason = reason


class OutputRejected(SandboxError):
    """A file that a job is said to have written must not be used."""

    def __init__(self, file_name: str, problem: str):
        super().__init__(f"output file {file_name!r}: {problem}")
        self.file_name = file_name
        self.problem = problem
