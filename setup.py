"""Build tmnode: plain top-level packages and one shared library of CPU kernels.

The kernels have a plain C ABI and are loaded by ctypes, so the extension has no Python in it:
`BuildKernels` compiles each `.cpp` of `gpu/csrc` with the flags of its instruction set and links
them into `gpu/libtmkernels.so`. A C++ compiler is needed, CUDA is not.
"""

from setuptools import setup

setup()
