"""Why a version is champion, or is not: its training, its evaluation and what was decided, read from the records alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from mlops_assets.promotion.grounds import Grounds
from mlops_assets.promotion.history import REPLACES
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.errors import NotReadyError
from mlops_assets.stages.judging import attempt_name
from resources.audit.log import CHANGES, Entry
from resources.records.attempts import Attempt
from resources.records.documents import load_record
from resources.systems import Systems

UNHASHED = "the record of this evaluation was written anew since, so its numbers are not shown: the entry has its hash"


@dataclass(frozen=True)
class Evidence:
    """What is on record of a version: what became of it and why, the evaluation, and the entries of the audit log.

    `evaluation` is None where none was made, or where its record is not the one that the log names by its hash. `objection`
    says what a promotion in the log does not rest on; None where all that it needs is there.
    """

    model: str
    version: int
    outcome: str
    why: str
    evaluation: Attempt | None = None
    entries: Sequence[Entry] = ()
    objection: str | None = None
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def criteria(self) -> pl.DataFrame:
        """What the challenger was held to: kind, metric, whether it passes, limit, p, and the sentence; a row each."""
        return _frame(self.evaluation.evidence.criteria if self.evaluation else [])

    @property
    def clusters(self) -> pl.DataFrame:
        """The gain over the champion by cluster (a day, where the gate says nothing else), with its number of rows."""
        return _frame(self.evaluation.evidence.clusters if self.evaluation else [])

    @property
    def log(self) -> pl.DataFrame:
        """The entries: number, the wall clock's and the data's now, what, version, by whom and why."""
        names = ("seq", "at", "moment", "kind", "version", "by", "why")
        return pl.DataFrame([{name: getattr(one, name) for name in names} for one in self.entries])

    def __str__(self) -> str:
        return f"version {self.version} of {self.model}: {self.outcome}. {self.why}"


def evidence_of(spec: ModelSpec, systems: Systems, version: int) -> Evidence:
    """The evidence about a version, be it a challenger or the fit that was made of one; nothing is judged again.

    Raises NotReadyError where the log has no training of that version, AuditError where the log is not whole.
    """
    grounds = Grounds.of(systems.audit, spec.name)
    fits = {entry.version: entry for entry in grounds.entries if entry.kind == "trained"}
    if version not in fits:
        known = ", ".join(str(number) for number in sorted(number or 0 for number in fits)) or "none"
        raise NotReadyError(
            f"the audit log has no training of version {version} of {spec.name}; there are: {known}"
        )
    challenger = int(fits[version].evidence.get("challenger") or version)
    family = {challenger} | {
        number
        for number, fit in fits.items()
        if fit.evidence.get("challenger") in (challenger, str(challenger))
    }
    entries = [e for e in grounds.entries if e.version in family or e.evidence.get(REPLACES) in family]
    changes = [e for e in entries if e.kind in CHANGES]
    promoted = next((e for e in reversed(changes) if e.kind == "promoted" and e.version in family), None)
    evaluated = next((e for e in reversed(entries) if _is_ground(e, promoted)), None)
    outcome, why = _became(evaluated, promoted, changes, entries, family)
    evaluation, notes = _evaluation(spec, systems, evaluated)
    objection = grounds.objection_to(promoted) if promoted else None
    return Evidence(spec.name, version, outcome, why, evaluation, entries, objection, notes)


def _is_ground(entry: Entry, promoted: Entry | None) -> bool:
    """Whether it is an evaluation, and the one that a promotion rests on where there was one."""
    if entry.kind != "evaluated":
        return False
    return promoted is None or entry.evidence["evaluation"] == promoted.evidence.get("evaluation")


def _became(
    evaluated: Entry | None,
    promoted: Entry | None,
    changes: Sequence[Entry],
    entries: Sequence[Entry],
    family: set[int | None],
) -> tuple[str, str]:
    """What became of a challenger and of the version made of it, in a few words, and the sentence that was recorded."""
    if promoted:
        after = [e for e in changes if e.seq > promoted.seq and e.version not in family]
        said = f"promoted as version {promoted.version}"
        if not after:
            return f"{said}, champion since {promoted.moment}", promoted.why
        how = "rolled back to" if after[0].kind == "rolled_back" else "replaced by"
        return f"{said}, {how} version {after[0].version} on {after[0].moment}", promoted.why
    if evaluated is None:
        return "not judged", "no evaluation of it is in the audit log"
    if not evaluated.evidence["passed"]:
        return "not promoted: it did not pass the gate", evaluated.why
    no = next((e for e in entries if e.kind == "rejected"), None)
    if no:
        return f"not promoted: rejected by {no.by}", f"{no.why}; {evaluated.why}"
    return "not promoted: it passed the gate, and no promotion followed", evaluated.why


def _evaluation(
    spec: ModelSpec, systems: Systems, evaluated: Entry | None
) -> tuple[Attempt | None, Sequence[str]]:
    if evaluated is None:
        return None, ()
    attempt = load_record(systems.lake, Attempt, attempt_name(spec, evaluated.evidence["week"]))
    if attempt is None or attempt.digest != evaluated.evidence["evaluation"]:
        return None, (UNHASHED,)
    return attempt, ()


def _frame(rows: Sequence[dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame([*rows], infer_schema_length=None)
