"""What a change of champion rests on, read from the audit log: training, evaluation, approval where asked, and roll-out.

A seal shows that an entry was written by a holder of the key. That its evidence is there, was passed and is about this
very version is checked before a change is recorded, and again before registry and endpoint follow it.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_assets.promotion.errors import UnfoundedError
from mlops_assets.promotion.history import REPLACES, ROLLOUT
from mlops_assets.promotion.records import spec_then
from resources.audit.log import CHANGES, ROLLOUTS, Audit, Entry, Kind

LOG = logging.getLogger(__name__)
END = 2**62
"""As a number of an entry: behind all there are."""

KINDS: tuple[Kind, ...] = (*CHANGES, *ROLLOUTS, "trained", "evaluated", "approved", "rejected")
_sound: set[str] = set()
"""Hashes of changes that rest on what they need; an entry's hash covers all that it can rest on."""


def refuse_unfounded(audit: Audit, change: Entry) -> None:
    """Raise UnfoundedError, and say so in the process's log, unless the log holds what a change rests on."""
    if change.hash in _sound:
        return
    assert change.model is not None, f"entry {change.seq} changes the champion and names no model"
    why = Grounds.of(audit, change.model).objection_to(change)
    if why is not None:
        refused = UnfoundedError(
            f"{change.model}: entry {change.seq} of the audit log ({change.kind} by {change.by}) makes version "
            f"{change.version} champion, and {why}: nothing follows it. `mlops rollback {change.model} --by NAME --reason "
            f"WHY` returns to the champion before; if nobody here recorded it, somebody else has the log's key: "
            f"`mlops audit rotate`"
        )
        LOG.error("%s", refused)
        raise refused
    _sound.add(change.hash)


@dataclass(frozen=True)
class Grounds:
    """The entries of one model that changes of its champion can rest on, oldest first."""

    audit: Audit
    model: str
    entries: Sequence[Entry]

    @classmethod
    def of(cls, audit: Audit, model: str) -> "Grounds":
        return cls(audit, model, list(audit.entries(model, KINDS)))

    def changes(self) -> list[Entry]:
        """The changes that rest on something, oldest first."""
        return [entry for entry in self._of(END, *CHANGES) if self.objection_to(entry) is None]

    def objection(
        self, kind: str, version: int, evidence: Mapping[str, Any], before: int = END
    ) -> str | None:
        """Why a change, as entry number `before`, is not to be followed; None where all it needs is there and fits."""
        if kind == "rolled_back":
            return self._of_return(version, before)
        return (
            self._of_training(version, evidence, before)
            or self._of_rollout(version, evidence, before)
            or self._of_evaluation(evidence, before)
            or self._of_approval(evidence, before)
        )

    def objection_to(self, entry: Entry) -> str | None:
        """The same of a change that is in the log."""
        return self.objection(entry.kind, entry.version or 0, entry.evidence, entry.seq)

    def _of_return(self, version: int, before: int) -> str | None:
        promoted = [entry for entry in self._of(before, "promoted") if self.objection_to(entry) is None]
        first = promoted[0].evidence.get(REPLACES) if promoted else None
        if version in {entry.version for entry in promoted} | {first}:
            return None
        return "no promotion that rests on an evaluation ever made that version champion"

    def _of_training(self, version: int, evidence: Mapping[str, Any], before: int) -> str | None:
        trained = self._trained(version, before)
        if trained is None:
            return "the log has no training of that version before it"
        if trained.evidence["sha256"] != evidence.get("sha256"):
            return f"the model file is not the one of its training, entry {trained.seq}"
        challenger = trained.evidence.get("challenger")
        if challenger is not None and str(challenger) != str(evidence.get("challenger")):
            return (
                f"it was fitted in place of challenger {challenger}, and the evidence is about "
                f"{evidence.get('challenger')}"
            )
        return None

    def _of_rollout(self, version: int, evidence: Mapping[str, Any], before: int) -> str | None:
        """Of a promotion that says it comes after a roll-out: that this one was completed, of this version in this one's place."""
        name = evidence.get(ROLLOUT)
        if name is None:
            return None
        about = [e for e in self._of(before, *ROLLOUTS) if e.evidence.get(ROLLOUT) == name]
        kinds = {entry.kind for entry in about}
        if "rollout_started" not in kinds or not kinds & {"rollout_completed", "rollout_promoted"}:
            return f"its roll-out {name} was not begun and completed in the log before it"
        if another := next((e for e in about if e.version != version), None):
            return f"its roll-out {name}, entry {another.seq}, is of version {another.version}"
        replaced = evidence.get(REPLACES)
        if another := next((e for e in about if e.evidence["champion"] != replaced), None):
            return (
                f"its roll-out {name}, entry {another.seq}, was beside version {another.evidence['champion']}, and it "
                f"replaces {replaced or 'none'}"
            )
        return None

    def _of_evaluation(self, evidence: Mapping[str, Any], before: int) -> str | None:
        digest = evidence.get("evaluation")
        if digest is None and self._started_by_hand(evidence, before):
            return None
        known = [e for e in self._of(before, "evaluated") if e.evidence["evaluation"] == digest]
        if not known:
            return f"its evaluation (sha256 {digest}) is not in the log before it"
        evaluated = known[-1]
        if not evaluated.evidence["passed"]:
            return f"its evaluation, entry {evaluated.seq}, did not pass the gate"
        if evaluated.version != evidence.get("challenger"):
            return (
                f"its evaluation, entry {evaluated.seq}, is of version {evaluated.version}, not of "
                f"{evidence.get('challenger')}"
            )
        judged, replaced = evaluated.evidence["champion"], evidence.get(REPLACES)
        if judged in self._names(replaced, before) or self._promoted_by(digest, replaced, before):
            return None
        return (
            f"its evaluation, entry {evaluated.seq}, compared it with {judged or 'no champion'}, and it replaces "
            f"{replaced or 'none'}"
        )

    def _of_approval(self, evidence: Mapping[str, Any], before: int) -> str | None:
        spec = spec_then(self.audit, self.model, before)
        if spec is None:
            return "the log has no configuration of the model before it"
        if spec["promotion"]["mode"] != "approval":
            return None
        if evidence.get("evaluation") is None and (start := self._started_by_hand(evidence, before)):
            known = start.by in spec["promotion"]["approvers"]
            return None if known else f"its roll-out was started by {start.by}, who is no approver"
        about = [
            e
            for e in self._of(before, "approved", "rejected")
            if e.evidence["evaluation"] == evidence["evaluation"] and e.version == evidence["challenger"]
        ]
        if rejected := next((e for e in about if e.kind == "rejected"), None):
            return f"its challenger was rejected by {rejected.by}, entry {rejected.seq}"
        approval = next((e for e in about if e.hash == evidence.get("approval")), None)
        if approval is None:
            return "the approval that the spec asks for is not in the log before it"
        then = spec_then(self.audit, self.model, approval.seq) or spec
        if approval.by not in (*spec["promotion"]["approvers"], *then["promotion"]["approvers"]):
            return f"its approval, entry {approval.seq}, is by {approval.by}, who is no approver"
        return None

    def _started_by_hand(self, evidence: Mapping[str, Any], before: int) -> Entry | None:
        """The entry by which a person started the roll-out that takes an evaluation's place; None where none did."""
        started = (
            e for e in self._of(before, "rollout_started") if e.evidence[ROLLOUT] == evidence.get(ROLLOUT)
        )
        return next((e for e in started if e.evidence["origin"] != "promotion"), None)

    def _names(self, version: int | None, before: int) -> set[int | None]:
        """What an evaluation calls a champion: its number, or that of the challenger that it was refitted from."""
        trained = self._trained(version, before) if version is not None else None
        challenger = trained.evidence.get("challenger") if trained else None
        return {version, int(challenger)} if challenger is not None else {version}

    def _promoted_by(self, evaluation: str | None, version: int | None, before: int) -> bool:
        """Whether a version became champion by this very evaluation: it is refitted again, by other code perhaps."""
        changes = [entry for entry in self._of(before, "promoted") if entry.version == version]
        return bool(changes) and changes[-1].evidence.get("evaluation") == evaluation

    def _trained(self, version: int, before: int) -> Entry | None:
        return next((e for e in reversed(self._of(before, "trained")) if e.version == version), None)

    def _of(self, before: int, *kinds: Kind) -> list[Entry]:
        return [entry for entry in self.entries if entry.kind in kinds and entry.seq < before]
