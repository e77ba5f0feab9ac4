"""What can go wrong in this package.

GpuError
├── PayloadError          a customer's payload is refused
├── KernelsUnavailable    the kernel library is missing, of another version, or not for this machine
└── KernelFailed          an operation was called with operands that do not fit
"""


class GpuError(Exception):
    """Base of all errors of this package."""


class PayloadError(GpuError):
    """A payload is refused: which field, what is wrong with it, and what to send instead.

    `code` is `invalid_input`, or `task_too_large` for a payload that is well formed but asks for
    more than the network allows.
    """

    def __init__(
        self, field: str, problem: str, remedy: str, *, code: str = "invalid_input"
    ) -> None:
        super().__init__(f"{field}: {problem}; {remedy}")
        self.field = field
        self.problem = problem
        self.remedy = remedy
        self.code = code


class KernelsUnavailable(GpuError):
    """The library of CPU kernels cannot be used; the message says how to get it."""


class KernelFailed(GpuError):
    """An operation refused its operands."""

    def __init__(self, operation: str, reason: str) -> None:
        super().__init__(f"{operation}: {reason}")
        self.operation = operation
        self.reason = reason
