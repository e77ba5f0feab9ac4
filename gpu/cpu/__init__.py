"""The CPU as a device: kernels in C++ (`gpu/csrc`), called through ctypes."""

from gpu.cpu.backend import CpuBackend

__all__ = ["CpuBackend"]
