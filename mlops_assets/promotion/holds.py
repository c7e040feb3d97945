"""What a person has put on hold: promotion and retraining, of all models or of one, and models that are retired.

A hold is an entry of the audit log and nothing else: whoever reads the log, on any machine, has it, and of what is killed
or done at once the log has one order. The endpoint, which does not read the log, follows it through a notice.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mlops_assets.promotion.errors import FrozenError
from resources.audit.log import Audit, Entry, Kind
from resources.serving.holds import Hold, Notice
from resources.serving.ray_serve import Endpoint

PAUSES: tuple[Kind, ...] = ("paused", "resumed")
RETIREMENTS: tuple[Kind, ...] = ("retired", "reinstated")
LOCK = "holds"


class HoldError(Exception):
    """A hold that cannot be put or lifted: says which one is there."""


class _OvertakenError(Exception):
    """Another hold was recorded between looking and recording."""


@dataclass(frozen=True)
class Holds:
    """Every hold that is in force: the pause of all, pauses and retirements by model, and how often any was lifted."""

    everything: Entry | None = None
    paused: Mapping[str, Entry] = field(default_factory=dict)
    retired: Mapping[str, Entry] = field(default_factory=dict)
    lifted: Mapping[str | None, int] = field(default_factory=dict)

    @classmethod
    def of(cls, audit: Audit) -> "Holds":
        """What the log says now."""
        newest: dict[tuple[bool, str | None], Entry] = {}
        lifted: dict[str | None, int] = {}
        for entry in audit.entries(kinds=(*PAUSES, *RETIREMENTS)):
            newest[entry.kind in PAUSES, entry.model] = entry
            if entry.kind in ("resumed", "reinstated"):
                lifted[entry.model] = entry.seq
        held = {where: entry for where, entry in newest.items() if entry.kind in ("paused", "retired")}
        return cls(
            everything=held.get((True, None)),
            paused={str(model): e for (pause, model), e in held.items() if pause and model},
            retired={str(model): e for (pause, model), e in held.items() if not pause},
            lifted=lifted,
        )

    def retirement(self, model: str) -> str | None:
        """That a model is retired, in words; None where it is not."""
        entry = self.retired.get(model)
        return retired_in_words(model, entry) if entry else None

    def freeze(self, model: str) -> str | None:
        """Why a model is neither trained anew by itself nor promoted, in words; None where it may be."""
        if model in self.retired:
            return self.retirement(model)
        if self.everything:
            return paused_in_words("everything", self.everything)
        return paused_in_words(model, self.paused[model]) if model in self.paused else None

    def since_lifted(self, model: str) -> int:
        """Number of the entry by which a hold on a model was lifted last; 0 where none ever was."""
        return max(self.lifted.get(model, 0), self.lifted.get(None, 0))

    def sentences(self) -> list[str]:
        """Every hold in a sentence."""
        pauses = [("everything", self.everything)] if self.everything else []
        pauses += sorted(self.paused.items())
        return [
            *(paused_in_words(what, entry) for what, entry in pauses if entry),
            *(retired_in_words(model, entry) for model, entry in sorted(self.retired.items())),
        ]

    def notice(self) -> Notice:
        """What the endpoint is told."""
        return Notice(
            everything=_hold(self.everything) if self.everything else None,
            paused={model: _hold(entry) for model, entry in self.paused.items()},
            retired={model: _hold(entry) for model, entry in self.retired.items()},
        )


def paused_in_words(what: str, entry: Entry) -> str:
    """Who has paused a model, or everything, since when and why."""
    return f"{what} is paused: nothing is retrained or promoted. {_hold(entry)}"


def retired_in_words(model: str, entry: Entry) -> str:
    """Who has retired a model, since when and why."""
    return f"{model} is retired. {_hold(entry)}. `mlops retire {model} --undo --why WHY` brings it back"


def refuse_frozen(audit: Audit, model: str, kinds: Sequence[str] = ("promoted",)) -> None:
    """Raise FrozenError where a model is not to be promoted now; a retired one is not rolled back either."""
    holds = Holds.of(audit)
    if why := holds.freeze(model) if "promoted" in kinds else holds.retirement(model):
        raise FrozenError(f"{model}: no version becomes champion: {why}")


def pause(audit: Audit, endpoint: Endpoint, model: str | None, by: str, why: str) -> tuple[Entry, bool]:
    """Freeze retraining and promotion of a model (None: of all); the entry, and whether it is new."""
    return _put(audit, endpoint, "paused", model, by, why)


def resume(audit: Audit, endpoint: Endpoint, model: str | None, by: str, why: str) -> tuple[Entry, bool]:
    """Lift a pause. Raises HoldError where it was never paused, or another hold is on the model as well."""
    holds = Holds.of(audit)
    if model in holds.retired:
        raise HoldError(str(holds.retirement(str(model))))
    if model and holds.everything and model not in holds.paused:
        raise HoldError(
            f"{model} is not paused by itself: {paused_in_words('everything', holds.everything)}; `mlops resume` lifts that"
        )
    return _put(audit, endpoint, "resumed", model, by, why)


def retire(audit: Audit, endpoint: Endpoint, model: str, by: str, why: str) -> tuple[Entry, bool]:
    """Take a model off the endpoint and stop its sensors; everything that is known of it stays."""
    return _put(audit, endpoint, "retired", model, by, why)


def reinstate(audit: Audit, endpoint: Endpoint, model: str, by: str, why: str) -> tuple[Entry, bool]:
    """Have a retired model answer and learn again. Raises HoldError where it was never retired."""
    return _put(audit, endpoint, "reinstated", model, by, why)


def tell_endpoint(audit: Audit, endpoint: Endpoint) -> bool:
    """Bring the endpoint's notice to what the log says; whether it differed. Two at once leave the newest."""
    if endpoint.notice() == Holds.of(audit).notice():
        return False
    with audit.lock(LOCK):
        endpoint.post(Holds.of(audit).notice())
    return True


def _put(
    audit: Audit, endpoint: Endpoint, kind: Kind, model: str | None, by: str, why: str
) -> tuple[Entry, bool]:
    """Record a hold, or that it is lifted, unless that is how it stands; what follows it is brought up either way."""
    if not by.strip() or not why.strip():
        raise HoldError("a hold is recorded with a name and a reason: give both, --by NAME --why WHY")
    entry, new = _recorded(audit, kind, model, by, why)
    tell_endpoint(audit, endpoint)
    return entry, new


def _recorded(audit: Audit, kind: Kind, model: str | None, by: str, why: str) -> tuple[Entry, bool]:
    lifts = kind in ("resumed", "reinstated")
    while True:
        last = _newest(audit, kind, model)
        if last and last.kind == kind:
            return last, False
        if last is None and lifts:
            held = "paused" if kind == "resumed" else "retired"
            raise HoldError(f"{model or 'everything'} was never {held}: there is nothing to lift")
        try:
            return _append(audit, kind, model, by, why, last), True
        except _OvertakenError:
            continue


def _append(audit: Audit, kind: Kind, model: str | None, by: str, why: str, last: Entry | None) -> Entry:
    def nobody_was_faster() -> None:
        if _newest(audit, kind, model) != last:
            raise _OvertakenError

    identity = {"after": last.event if last else "", "this": uuid.uuid4().hex}
    return audit.record(
        kind, model, identity=identity, by=by, why=why, moment=None, evidence={}, check=nobody_was_faster
    )


def _newest(audit: Audit, kind: Kind, model: str | None) -> Entry | None:
    kinds = PAUSES if kind in PAUSES else RETIREMENTS
    entries: Iterable[Entry] = audit.entries(model, kinds)
    return next((entry for entry in reversed(list(entries)) if entry.model == model), None)


def _hold(entry: Entry) -> Hold:
    return Hold(by=entry.by, why=entry.why, since=entry.at, entry=entry.seq)
