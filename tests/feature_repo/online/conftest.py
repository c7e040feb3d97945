"""Generated cases are the same in every run, and no slow machine makes one fail."""

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("steady")
