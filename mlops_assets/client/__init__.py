"""The platform in a notebook, in five calls: open a project, a training set, a comparison, a prediction, the evidence.

Everything goes through the settings and the systems that the assets use, so that the same lines work over the state folder
of a laptop and over a cluster. Nothing here changes the state: what is tried leaves no run, no version and no table.
"""

from mlops_assets.client.errors import ClientError
from mlops_assets.client.project import Client, open_project

__all__ = ["Client", "ClientError", "open_project"]
