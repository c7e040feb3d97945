"""From a deployment record to the code and the model of a version: the same for the one that answers and for one that is asked beside it."""

from pathlib import Path
from typing import Any

from resources.records.deployment import CODE, Deployment
from resources.records.reader import RecordError
from resources.serving.code import Code, Declared
from resources.serving.files import contained, model_bytes


def vouched(declared: Declared, record: Deployment) -> Code:
    """What the repository declares for a record's model; raises CodeError where the record names other code."""
    code = declared(record.name)
    if code is None:
        raise RecordError(
            f"the repository declares no model {record.name!r}, so nothing says what code serves it: declare it, or "
            "withdraw the deployment"
        )
    for field in CODE:
        code.refuse_others(field, getattr(record, field))
    return code


def scorer_of(code: Code, record: Deployment, folder: Path) -> Any:
    """The model of a record in a folder of records, read from a file that has the hash that the record promises."""
    return code.scorer(model_bytes(contained(record.model_path, folder), record.model_sha256))
