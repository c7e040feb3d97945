"""Imported first by the process that forks commands: Feast is imported there as the project imports it.

The project's modules are forgotten again, because every command imports them from its own path.
"""

import sys

import resources.features

for name in [name for name in sys.modules if name.split(".")[0] == "resources"]:
    del sys.modules[name]
del resources
