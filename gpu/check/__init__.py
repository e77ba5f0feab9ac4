"""`make gpu-check`: what is to be found out the first time a GPU is there, and after every change.

A device is compared with this machine's CPU: `exhaustive` goes through all floats, `fuzz` through
random shapes, `whole` runs what tasks are made of, `speed` measures. `suite` names the checks; each
runs in a process of its own (`__main__`), because an error of CUDA leaves its process useless.
"""
