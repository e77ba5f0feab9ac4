"""Kernels that give the same bits on every device, and the workloads built from them.

Read in this order: `tensors` are what operations work on; `ops` is the small tensor library they
make up, the same for every device; `cpu` is the device everybody has (C++ in `csrc`, one shared
library; docs/kernels.md), `cuda` are those of NVIDIA; `selftest` says whether a device is right;
`backend` says what chains need of a device; `workloads` turns operations into tasks that can be run
and checked. Nothing here knows the network, the market or the store: a
workload is pure functions over a backend, and `node` decides where and when they run.
"""
