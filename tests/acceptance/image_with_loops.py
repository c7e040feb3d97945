"""`mlops_assets.commands.sent_fit` as it runs in an image whose repository has a spec with the tests' loop and scorer."""

import sys

from mlops_assets.commands.sent_fit import main
from mlops_assets.spec.files import declared_code

LOOPS = frozenset({"tests.ml.training.trainers.loops:held", "tests.ml.training.trainers.loops:Bytes"})

if __name__ == "__main__":
    main(sys.argv[1:], lambda: declared_code() | LOOPS)
