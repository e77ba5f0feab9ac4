"""Kernels that give the same bits on every device, and the workloads built from them.

Read in this order: `backend` says which operations a device offers; `cpu` is the device everybody
has (C++ in `csrc`, one shared library); `workloads` turns operations into tasks that can be run
and checked. Nothing here knows the network, the market or the store: a workload is pure functions
over a backend, and `node` decides where and when they run.
"""
