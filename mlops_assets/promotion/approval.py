"""What an evaluation that passed warrants: a promotion at once, one that a named person has approved, or none."""

from dataclasses import dataclass
from datetime import datetime

from mlops_assets.promotion.champion import Change, champion_now, refusal
from mlops_assets.promotion.errors import HeldBackError, PromotionError
from mlops_assets.promotion.history import SHOWN_BETTER, rolled_back
from mlops_assets.promotion.holds import refuse_frozen
from mlops_assets.spec.model import ModelSpec
from resources.audit.log import CHANGES, Audit, Entry
from resources.records.attempts import Attempt
from resources.tracking.tracking import Tracking, Version


class SupersededError(PromotionError):
    """The evidence is about another champion than the one of now."""


@dataclass(frozen=True)
class Warrant:
    """Why a challenger may become champion, and which champion the evidence compared it with."""

    attempt: Attempt
    replaces: int | None
    approval: Entry | None

    def change(self, version: Version, moment: datetime) -> Change:
        """The change of champion that this allows."""
        attempt, approval = self.attempt, self.approval
        evidence = {
            "evaluation": attempt.digest,
            "challenger": attempt.challenger.version,
            "approval": approval.hash if approval else None,
            SHOWN_BETTER: attempt.shown_better,
            "training_set": version.tags.get("training_set"),
            "sha256": version.sha256,
            "identity": version.identity,
            "run": version.run_id,
        }
        by = approval.by if approval else version.tags.get("launched_by", "unknown")
        why = f"{approval.why}; {attempt.verdict}" if approval else attempt.verdict
        return Change("promoted", version.name, version.number, self.replaces, moment, by, why, evidence)


def by_a_person(spec: ModelSpec) -> bool:
    """Whether a challenger that passed waits for a named person."""
    return spec.promotion.mode == "approval"


def warranted(spec: ModelSpec, tracking: Tracking, audit: Audit, attempt: Attempt) -> Warrant:
    """The warrant of an evaluation that passed.

    Raises HeldBackError where an approval is missing, a person rejected it, its version was rolled back or promotion is
    on hold, and PromotionError where the record is not the one that was judged or was judged against another champion.
    """
    refuse_frozen(audit, spec.name)
    digest = attempt.digest
    if audit.find("evaluated", spec.name, {"evaluation": digest}) is None:
        raise PromotionError(
            f"{spec.name}: the record of the evaluation at the end of partition {attempt.partition} (sha256 {digest}) is not "
            f"in the audit log: it was changed after it was judged; materialize {spec.name}/evaluation again"
        )
    champion = champion_now(tracking, audit, spec.name)
    changes = list(audit.entries(spec.name, CHANGES))
    promotion = next((c for c in reversed(changes) if c.evidence.get("evaluation") == digest), None)
    if promotion and promotion.version and (back := rolled_back(changes, promotion.version)):
        raise HeldBackError(refusal(back))
    if promotion is None or promotion.version != champion:
        refuse_superseded(spec, tracking, attempt, champion)
    return Warrant(attempt, champion, _approved(spec, audit, attempt) if by_a_person(spec) else None)


def refuse_superseded(spec: ModelSpec, tracking: Tracking, attempt: Attempt, champion: int | None) -> None:
    """Raise SupersededError unless the evidence is about the champion of now, or about the fit that stood in for it."""
    judged = attempt.champion.version if attempt.champion else None
    stand_in = tracking.version(spec.name, champion).tags.get("challenger") if champion else None
    if judged == champion or (stand_in is not None and str(judged) == stand_in):
        return
    raise SupersededError(
        f"{spec.name}: challenger {attempt.challenger.version} was judged against "
        f"{f'version {judged}' if judged else 'no champion'}, and version {champion} is champion by now: "
        f"materialize {spec.name}/model and what follows it again"
    )


def _approved(spec: ModelSpec, audit: Audit, attempt: Attempt) -> Entry:
    number, key = attempt.challenger.version, {"evaluation": attempt.digest}
    if rejection := audit.find("rejected", spec.name, key):
        raise HeldBackError(f"{spec.name}: version {number} was rejected by {rejection.by}: {rejection.why}")
    if approval := audit.find("approved", spec.name, key):
        return approval
    raise HeldBackError(
        f"{spec.name}: version {number} passed the gate and waits for {' or '.join(spec.promotion.approvers)}: "
        f"`mlops approve {spec.name} --version {number} --by NAME --reason WHY`, or the job approve_challenger "
        f"in the UI; `mlops reject` says no. {attempt.verdict}"
    )
