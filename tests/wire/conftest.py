from hypothesis import HealthCheck, settings

# In a fresh clone the first text that is drawn makes hypothesis build its table of Unicode, a second or two of work;
# and a busy machine takes its time over megabytes. Neither says anything of the code.
settings.register_profile("malbox", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("malbox")
