"""Measurements of the whole product, kept with it: `tmnode bench NAME --json`.

Each prints one report: what was measured, on which machine and commit, against which peer where
one was installed. They are never part of a test: a figure belongs to the machine it was taken on.
"""
