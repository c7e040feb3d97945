"""What the retrain sensor asks for: a challenger at the end of a partition, or what is left of one that passed the gate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import dagster as dg

from mlops_assets.automation.jobs import RETRAIN_PARTS
from mlops_assets.automation.tries import BASIS_TAG, FOR_TAG, TRY_TAG, Order, Past
from mlops_assets.kit.run_tags import REASON_TAG, TRIGGER_TAG
from mlops_assets.promotion.queueing import in_turn
from mlops_assets.promotion.rollout_states import newest, under_way
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.judging import attempt_name
from resources.lake.lake import Lake
from resources.records.attempts import Attempt
from resources.records.documents import load_record


@dataclass(frozen=True)
class Training:
    """What is asked for, and what it comes after: the entry by which a hold was lifted, and the roll-out that has ended."""

    partition: str
    reason: str
    trigger: str
    parts: tuple[str, ...]
    lifted: int = 0
    rollout: int = 0

    @property
    def basis(self) -> str:
        """What a try rests on: the partition, and that no hold was lifted and no roll-out ended since."""
        entry = f" after entry {self.lifted}" if self.lifted else ""
        rollout = f" after roll-out {self.rollout}" if self.rollout else ""
        return f"{self.partition}{entry}{rollout}"

    def is_made(self, runs: Sequence[Past]) -> bool:
        """Whether the last run did what there was to do; one under a hold, or before a roll-out ended, did not."""
        if self.rollout:
            return any(run.succeeded and run.request_basis == self.basis for run in runs[:1])
        return all(run.succeeded and run.basis in (None, self.basis) for run in runs[:1])

    def request(self, spec: ModelSpec) -> Callable[[Order, int], dg.RunRequest]:
        """The request of the n-th try."""
        tags = {
            REASON_TAG: self.reason,
            TRIGGER_TAG: self.trigger,
            FOR_TAG: self.partition,
            BASIS_TAG: self.basis,
        }
        keys = sorted(dg.AssetKey([spec.name, part]) for part in self.parts)
        some = None if self.parts == RETRAIN_PARTS else keys
        return lambda one, number: dg.RunRequest(
            run_key=f"{spec.name}:{one.partition}:{number}",
            tags={**tags, TRY_TAG: str(number)},
            asset_selection=some,
        )


def training_of(
    spec: ModelSpec, lake: Lake, partition: str | None, reason: str, trigger: str, lifted: int
) -> Training:
    """A whole training at the end of a partition."""
    return Training(str(partition), reason, trigger, RETRAIN_PARTS, lifted, _ended(spec, lake))


def promotion_cut_off(spec: ModelSpec, lake: Lake, lifted: int = 0) -> Training | None:
    """The deployment of the newest challenger, where it passed the gate and no version came of it yet.

    After a roll-out it is judged again: where that changed the champion, the verdict was about another one.
    """
    attempt = _without_version(spec, lake)
    if attempt is None or spec.automation == "paused":
        return None
    ended = _ended(spec, lake)
    parts = ("evaluation", "deployment", "card") if ended else ("deployment", "card")
    return Training(attempt.partition, str(attempt.reason), str(attempt.trigger), parts, lifted, ended)


def waits_in_turn(spec: ModelSpec, lake: Lake) -> str | None:
    """That the newest challenger passed and waits for the end of another one's roll-out; None where it does not."""
    state = under_way(lake, spec.name) if spec.rollout else None
    attempt = _without_version(spec, lake) if state else None
    if state is None or attempt is None or state.promise.evidence.get("evaluation") == attempt.digest:
        return None
    return in_turn(state, attempt)


def _without_version(spec: ModelSpec, lake: Lake) -> Attempt | None:
    """The newest attempt, where it passed the gate and no version came of it yet."""
    attempts = lake.records(f"{spec.name}/attempts")
    attempt = load_record(lake, Attempt, attempt_name(spec, attempts[-1])) if attempts else None
    return attempt if attempt is not None and attempt.promote and not attempt.final else None


def _ended(spec: ModelSpec, lake: Lake) -> int:
    """Number of the newest roll-out that has ended; 0 where none has."""
    state = newest(lake, spec.name) if spec.rollout else None
    if state is None:
        return 0
    return state.number if state.ended else state.number - 1
