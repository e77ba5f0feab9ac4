"""NVIDIA GPUs as devices: the kernels of `gpu/csrc/cuda`, compiled and launched.

Read in this order: `sources` are the texts; `compiler` makes cubins of them with NVRTC,
`inspection` says whether these may be run, `images` keeps them. `driver` is all that is asked of
CUDA, and `pycuda` gives it; `memory` hands out the device's memory. `launches` turns each operation
into launches of kernels, and `backend` is the device that callers see. Nothing of CUDA is imported
before a device is asked for (`devices`).
"""
