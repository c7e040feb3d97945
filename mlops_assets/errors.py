"""What work may end with, in words; an asset shows it as the failure of its run.

WorkError
├── StageError: a stage cannot do its work                  mlops_assets/stages/errors.py
│   ├── NotReadyError: what it works on was not made yet
│   ├── NotPassedError: the newest challenger has not passed the gate
│   ├── RecalibrationError: the champion is not recalibrated
│   ├── OtherRulesError: the spec is not the one that the work began with
│   ├── VariantError: a variant cannot be tried              mlops_assets/stages/variants.py
│   ├── AlteredRecordError: a record is not the one that was written
│   ├── SourceError: a source is not as its table says
│   └── NotYetThereError: a partition's rows are not there yet
├── ClientError: what was asked for is not there            mlops_assets/client/errors.py
├── MixedFeatureDefinitionsError                            mlops_assets/stages/training_set.py
└── PromotionError: a champion is not changed               mlops_assets/promotion/errors.py
    ├── HeldBackError: it waits for a person, or one has said no
    │   └── FrozenError: somebody has put the model, or all, on hold
    └── SupersededError: what it was judged against is gone
"""

from collections.abc import Mapping
from typing import Any


class WorkError(Exception):
    """A sentence with the value, the rule and the fix; `numbers` go to the page beside it."""

    def __init__(self, sentence: str, numbers: Mapping[str, Any] | None = None):
        super().__init__(sentence)
        self.numbers = dict(numbers or {})
