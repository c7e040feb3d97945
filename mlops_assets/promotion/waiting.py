"""What waits for a person to decide, with the command that settles it: a challenger that passed, a roll-out that asks or is paused."""

from collections.abc import Iterator
from typing import Any

from mlops_assets.ml.reports.standing import rollout_asks, rollout_paused, waits_for_approval
from mlops_assets.promotion.approval import by_a_person
from mlops_assets.promotion.rollout_states import in_words
from mlops_assets.spec.model import ModelSpec
from resources.audit.log import Audit, Entry
from resources.records.rollout import Rollout


def waits_for_a_person(
    spec: ModelSpec, audit: Audit, champion: int | None, rollout: Rollout | None
) -> tuple[str, ...]:
    """A sentence for each decision that a person has to take, by the audit log and the state of the roll-out under way."""
    return (*_approvals(spec, audit, champion), *_of_rollout(rollout))


def _approvals(spec: ModelSpec, audit: Audit, champion: int | None) -> Iterator[str]:
    """The newest challenger, where it passed, was judged against the champion of now and nobody has decided yet."""
    last = audit.latest(spec.name, ("evaluated",)) if by_a_person(spec) else None
    if last is None or last.version is None or not last.evidence.get("passed"):
        return
    key = {"evaluation": last.evidence["evaluation"]}
    decided = audit.find("approved", spec.name, key) or audit.find("rejected", spec.name, key)
    if decided is None and _is_of_now(audit, last, champion):
        yield waits_for_approval(spec.name, last.version, spec.promotion.approvers)


def _is_of_now(audit: Audit, judged: Entry, champion: int | None) -> bool:
    """Whether an evaluation compared with the champion of now, or with the fit that stood in for it."""
    beside = judged.evidence.get("champion")
    if beside == champion:
        return True
    trained = audit.entries(judged.model, ("trained",))
    stand_in = next((one.evidence.get("challenger") for one in trained if one.version == champion), None)
    return beside is not None and _same(stand_in, beside)


def _same(stand_in: Any, beside: Any) -> bool:
    return stand_in is not None and str(stand_in) == str(beside)


def _of_rollout(state: Rollout | None) -> Iterator[str]:
    if state is None:
        return
    if state.paused:
        yield rollout_paused(state.model, in_words(state))
    elif state.has_asked:
        yield rollout_asks(state.model, in_words(state), state.waits)
