"""Starting a roll-out by hand: any registered version beside the champion, or an A/B test between the two."""

from mlops_assets.promotion.approval import by_a_person
from mlops_assets.promotion.champion import Change, champion_now
from mlops_assets.promotion.following import record_of, registered
from mlops_assets.promotion.records import account
from mlops_assets.promotion.rollout_states import under_way
from mlops_assets.promotion.rollouts import Act, RolloutError, act, begin
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.rollout import RolloutPlan
from mlops_assets.stages.deploying import endpoint_record
from mlops_assets.stages.now import now_of
from resources.audit.log import CHANGES
from resources.moments import read_moment
from resources.records.deployment import Deployment
from resources.records.rollout import Rollout, TransitionKind
from resources.systems import Systems
from resources.tracking.tracking import Version

NAMELESS = "a roll-out is recorded with a name and a reason: give both, --by NAME --why WHY"


def start(
    spec: ModelSpec, systems: Systems, number: int, by: str, why: str, ab_test: bool = False
) -> Rollout:
    """Start the spec's plan, or its A/B test, for a registered version; raises RolloutError where that makes no sense."""
    plan = _plan(spec, by, why, ab_test)
    version = registered(systems.tracking, spec.name, number)
    champion = champion_now(systems.tracking, systems.audit, spec.name)
    if champion is None:
        raise RolloutError(
            f"{spec.name} has no champion that a version could be rolled out beside: deploy one first"
        )
    now = now_of(spec, systems.lake, systems.clock)
    moments = [change.moment for change in systems.audit.entries(spec.name, CHANGES) if change.moment]
    known = {entry.version for entry in systems.audit.entries(spec.name, CHANGES)}
    change = Change(
        "rolled_back" if number in known else "promoted",
        spec.name,
        number,
        champion,
        max(now or moments[-1], moments[-1]),
        by,
        why,
        _evidence(version),
    )
    return begin(systems, change, _record(spec, systems, version), plan, "ab_test" if ab_test else "by_hand")


def ask(spec: ModelSpec, systems: Systems, kind: TransitionKind, by: str, why: str) -> Rollout:
    """Pause, resume, complete or abort the roll-out that is under way; raises RolloutError where that cannot be."""
    if not by.strip() or not why.strip():
        raise RolloutError(NAMELESS)
    if kind == "promoted" and by_a_person(spec) and by not in spec.promotion.approvers:
        raise RolloutError(_no_approver(spec, by))
    state = under_way(systems.lake, spec.name)
    since = read_moment(state.since) if state else None
    moments = [moment for moment in (now_of(spec, systems.lake, systems.clock), since) if moment]
    return act(systems, spec.name, Act(kind, by, why, max(moments, default=systems.clock.now()), {}))


def _no_approver(spec: ModelSpec, by: str) -> str:
    names = ", ".join(spec.promotion.approvers)
    return f"{by!r} may not decide about {spec.name}; promotion.approvers: {names}"


def _plan(spec: ModelSpec, by: str, why: str, ab_test: bool) -> RolloutPlan:
    if not by.strip() or not why.strip():
        raise RolloutError(NAMELESS)
    if spec.rollout is None:
        raise RolloutError(
            f"{spec.name} has no plan for a roll-out: give its spec one, at least rollout: {{answers_influence_labels: false}}"
        )
    if ab_test and spec.rollout.ab_test is None:
        raise RolloutError(
            f"{spec.name} declares no A/B test: give its spec rollout.ab_test with metric and ends_after"
        )
    if by_a_person(spec) and by not in spec.promotion.approvers:
        raise RolloutError(_no_approver(spec, by))
    return spec.rollout


def _evidence(version: Version) -> dict[str, object]:
    return {
        "challenger": version.tags.get("challenger"),
        "training_set": version.tags.get("training_set"),
        "sha256": version.sha256,
        "identity": version.identity,
        "run": version.run_id,
        "account": account(),
    }


def _record(spec: ModelSpec, systems: Systems, version: Version) -> Deployment | None:
    """How the version will be served: as it was last, or as the spec says now."""
    if not spec.deployment.enabled:
        return None
    endpoint = systems.endpoint
    if earlier := record_of(systems.audit, endpoint, spec.name, version.number):
        return earlier
    path = endpoint.keep(spec.name, version.number, systems.tracking.load(version))
    return Deployment.model_validate(endpoint_record(spec, version, path))
