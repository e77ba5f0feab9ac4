"""The compute child: one warm, confined process in which a worker executes jobs.

The tour. `pool.open_compute_child` is what a worker opens; its `run` executes one job at a time.
`parent` starts the process and is the only code that touches its pipes; `frames` are the messages
on them, and everything a child sends is treated as bytes from a stranger. `launch` says what the
child gets to see: an environment of a few fixed variables and a list of readable paths.

On the other side `bootstrap` is the first thing the child executes. It calls `confine`, which gives
up rights in layers (`process`, `landlock`, `seccomp`; `libc` makes the calls), before any module
with threads is imported and before any job is read. Then `child` serves jobs with a `program`, by
default `compute`: the workloads of `gpu`. `outputs` reads what a job has written without trust.

Not covered: the child may ask for the size and times of files it cannot open, jobs that run one
after another in the same child share its memory, and the disk a job may fill is bounded per file.
This module is imported by the child too, so it stays empty.
"""
