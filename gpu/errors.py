"""What can go wrong in this package.

GpuError
├── PayloadError          a customer's payload is refused
├── KernelsUnavailable    the kernel library is missing, of another version, or not for this machine
│   └── DeviceUnavailable there is no such GPU, or what it needs is not installed
├── CompilationFailed     a kernel does not compile, or compiles to what may not be run
├── DeviceMemoryExhausted the device has not as much memory as an operation needs
└── KernelFailed          an operation refused what it was called with
    └── OperandMismatch   operands do not fit the operation or each other
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


class DeviceUnavailable(KernelsUnavailable):
    """A GPU cannot be used; the message says why and what to do."""


class CompilationFailed(GpuError):
    """A kernel does not compile for an architecture, or holds instructions that are not allowed."""

    def __init__(self, source: str, architecture: int, problem: str) -> None:
        super().__init__(f"{source}.cu for sm_{architecture}: {problem}")
        self.source = source
        self.architecture = architecture
        self.problem = problem


class DeviceMemoryExhausted(GpuError, MemoryError):
    """The device has not as much memory left."""


class KernelFailed(GpuError):
    """An operation refused what it was called with."""

    def __init__(self, operation: str, reason: str) -> None:
        super().__init__(f"{operation}: {reason}")
        self.operation = operation
        self.reason = reason


class OperandMismatch(KernelFailed):
    """Operands do not fit; the message names the operation and every operand's type and shape.

    `matmul: the inner sizes 5 and 6 differ (left f32[4, 5], right f32[6, 7])`
    """

    def __init__(self, operation: str, problem: str, **operands: object) -> None:
        named = ", ".join(f"{name} {operand}" for name, operand in operands.items())
        super().__init__(operation, f"{problem} ({named})")
        self.operands = operands
