"""`python -m resources.features.planning_process`: writes down what an endpoint reads, for a process that has no Feast.

The feature store is given as JSON on standard input.
"""

import sys
from pathlib import Path

from resources.features.plan_writing import write_plans
from resources.features.planned_file import PlannedFile
from resources.features.store import FeatureStoreResource


def main() -> int:
    """Write the file of the store, for the registry as it is."""
    resource = FeatureStoreResource.model_validate_json(sys.stdin.read())
    write_plans(resource, PlannedFile(Path(resource.home), resource.repository).registry())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
