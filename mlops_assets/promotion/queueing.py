"""Challengers that passed the gate while a roll-out was under way: in the log as held back, and as superseded by a newer one.

Only the newest challenger can be deployed, whether it passed or not: what was trained before it is judged no more.
"""

from mlops_assets.promotion.rollout_states import in_words, rollouts_of
from mlops_assets.promotion.rollouts import SYSTEM
from resources.audit.log import Audit, Entry
from resources.lake.lake import Lake
from resources.moments import read_moment
from resources.records.attempts import Attempt
from resources.records.rollout import Rollout


def in_turn(state: Rollout, attempt: Attempt) -> str:
    """That a challenger waits for the end of a roll-out, in a sentence."""
    return f"version {attempt.challenger.version} passed the gate, and its turn comes when this has ended: {in_words(state)}"


def record_held_back(audit: Audit, state: Rollout, attempt: Attempt) -> Entry:
    """Record that a challenger which passed waits for the end of a roll-out."""
    digest = attempt.digest
    return audit.record(
        "held_back",
        state.model,
        identity={"evaluation": digest, "behind": state.id},
        by=SYSTEM,
        why=in_turn(state, attempt),
        moment=read_moment(attempt.now),
        evidence={"evaluation": digest, "partition": attempt.partition, "behind": state.id},
        version=attempt.challenger.version,
    )


def record_superseded(audit: Audit, lake: Lake, model: str, attempt: Attempt) -> list[Entry]:
    """Record of each challenger that was held back and had no turn that this one was judged after it."""
    return [
        audit.record(
            "superseded",
            model,
            identity={"evaluation": earlier.evidence["evaluation"]},
            by=SYSTEM,
            why=f"version {attempt.challenger.version} was trained and judged after it: {attempt.verdict}",
            moment=read_moment(attempt.now),
            evidence={
                "evaluation": earlier.evidence["evaluation"],
                "behind": earlier.evidence["behind"],
                "judged after it": attempt.digest,
            },
            version=earlier.version,
        )
        for earlier in _without_turn(audit, lake, model)
        if earlier.version != attempt.challenger.version
    ]


def _without_turn(audit: Audit, lake: Lake, model: str) -> list[Entry]:
    """The newest entry of each challenger that was held back, of which no roll-out came and which was not judged again."""
    entries = list(audit.entries(model, ("held_back", "evaluated")))
    newest = {entry.version: entry for entry in entries}
    begun = {
        str(version)
        for state in rollouts_of(lake, model)
        for version in (state.version, state.promise.evidence.get("challenger"))
    }
    return [one for one in newest.values() if one.kind == "held_back" and str(one.version) not in begun]
