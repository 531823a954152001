"""Settings of hypothesis for these tests: no test of ours judges by time."""

from hypothesis import HealthCheck, settings

settings.register_profile("strongroom", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("strongroom")
