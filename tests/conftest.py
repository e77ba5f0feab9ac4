"""What holds for all tests."""

from hypothesis import HealthCheck, settings

settings.register_profile("tmnode", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tmnode")
"""No property may fail because the machine was busy when it was looked at: by themselves they have
200 ms of the wall clock for an example, and must find examples fast."""
