"""What need not run does not: content that is there, and whose fingerprint is that of its last making, is left as it is.

The record of a making lies beside the content's manifest and is written after Dagster has the materialization. A run
with the tag `mlops/force` makes everything anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import dagster as dg

from mlops_assets.ml.cost import Cost
from mlops_assets.ml.provenance.digest import Fingerprint, differences, names_in_words
from resources.lake.lake import Lake
from resources.records.documents import load_note, save_note
from resources.records.notes import Making

FORCE_TAG = "mlops/force"
ANEW = ("true", "yes", "1")
SKIPPED, BECAUSE = "skipped", "made because"


@dataclass
class Reuse:
    """What one run of an asset makes, leaves, and says of it; partitions by name, None for content without any."""

    lake: Lake
    table: str
    run_id: str
    forced: bool = False
    reasons: dict[str | None, dict[str, str]] = field(default_factory=dict)
    """Partition -> what the UI shows: why it was skipped, or why it was made."""

    _notes: dict[str | None, Making] = field(default_factory=dict)
    _fingerprints: dict[str | None, Fingerprint] = field(default_factory=dict)

    @classmethod
    def of(cls, context: dg.AssetExecutionContext, lake: Lake, table: str) -> Self:
        """For the run that a context belongs to."""
        forced = context.run.tags.get(FORCE_TAG, "").lower() in ANEW
        return cls(lake, table, context.run.run_id, forced)

    def unchanged(
        self, partition: str | None, now: Fingerprint | None, stored: Callable[[str], bool] | None = None
    ) -> Mapping[str, Any] | None:
        """What was kept when the partition was made, if nothing changed since; None where it must be made.

        `now` None is content of which nobody can say what decides it. `stored` says whether content of that hash is
        there whole; without it, the lake's file must have it.
        """
        before = load_note(self.lake, Making, self.table, partition)
        reason = self._reason(
            before, now, stored or (lambda digest: self.lake.holds(self.table, partition, digest))
        )
        if now is not None:
            self._fingerprints[partition] = now
        if reason is None and before is not None:
            since = f"nothing changed since {before.at} (run {before.run[:8]})"
            self.reasons[partition] = {SKIPPED: since}
            return before.kept
        self.reasons[partition] = {BECAUSE: str(reason)}
        return None

    @property
    def to_make(self) -> list[str]:
        """The partitions, of those asked about, that must be made."""
        return [name for name, reason in self.reasons.items() if name is not None and SKIPPED not in reason]

    def note(self, partition: str | None, sha256: str, notes: Mapping[str, Any] | None = None) -> None:
        """Say that content of this hash was made; `notes` (JSON values) is what a later run that skips it will need."""
        if partition in self._fingerprints:
            fingerprint = dict(self._fingerprints[partition])
            self._notes[partition] = Making(sha256=sha256, kept=dict(notes or {}), fingerprint=fingerprint)

    def remember(self) -> None:
        """Write down what was made; call it once Dagster has the materialization."""
        at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        for partition, note in self._notes.items():
            whole = note.model_copy(update={"at": at, "run": self.run_id})
            save_note(self.lake, self.table, partition, whole)

    @staticmethod
    def shown_before(context: dg.AssetExecutionContext) -> dict[str, Any]:
        """What the asset's page shows of the last making, except its cost: a run that skips takes away nothing of it."""
        event = context.instance.get_latest_materialization_event(context.asset_key)
        last = event.asset_materialization if event else None
        spent = {name.replace("_", " ") for name in Cost().rounded()}
        left_out = {SKIPPED, BECAUSE, "fit seconds", *spent, *(f"run {name}" for name in spent)}
        return {k: v for k, v in (last.metadata if last else {}).items() if k not in left_out}

    def metadata(self, partition: str | None) -> dict[str, Any]:
        """Metadata of one partition: why it was skipped or made; one that was skipped has no changed rows."""
        reason = self.reasons.get(partition, {})
        return {**reason, **({"rows changed since last time": 0} if SKIPPED in reason else {})}

    def counts(self) -> dict[str, Any]:
        """How many partitions were made and skipped; for content without partitions, its reason."""
        if set(self.reasons) == {None}:
            return dict(self.reasons[None])
        skipped = sum(SKIPPED in reason for reason in self.reasons.values())
        return {"partitions made": len(self.reasons) - skipped, "partitions skipped": skipped}

    def _reason(
        self, before: Making | None, now: Fingerprint | None, stored: Callable[[str], bool]
    ) -> str | None:
        """Why the content is to be made; None where it is not."""
        if self.forced:
            return f"the run's tag {FORCE_TAG} asks for it"
        if now is None:
            return "what it is made of is not declared, so a change would not be seen"
        if before is None:
            return "it was not made before"
        if changed := differences(before.fingerprint, now):
            return f"changed: {names_in_words(changed)}"
        return None if stored(before.sha256) else "what was stored is missing or changed"
