"""Deploying: a challenger that passed is refitted on everything up to now, made champion and handed to the endpoint.

Where the spec plans a roll-out and there is a champion, the refit's very bytes take its place in steps instead.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops_assets.ml.provenance.digest import Fingerprint
from mlops_assets.ml.training.fit import Fit, fit
from mlops_assets.ml.training.shards import Files
from mlops_assets.promotion.approval import Warrant, warranted
from mlops_assets.promotion.champion import change_champion
from mlops_assets.promotion.errors import HeldBackError
from mlops_assets.promotion.queueing import in_turn, record_held_back
from mlops_assets.promotion.records import record_trained
from mlops_assets.promotion.rollout_states import busy, in_words, rollouts_of
from mlops_assets.promotion.rollouts import begin
from mlops_assets.spec.decides import spec_digest
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.errors import NotPassedError, NotReadyError, OtherRulesError
from mlops_assets.stages.fingerprints import of_deployment
from mlops_assets.stages.identity import version_identity
from mlops_assets.stages.judging import attempt_name
from mlops_assets.stages.now import now_of
from mlops_assets.stages.recalibrating import inherit_reference, refitted
from mlops_assets.stages.reference import keep_reference, reference_name
from mlops_assets.stages.search_results import as_trained, origin_of
from mlops_assets.stages.served import SCORER
from mlops_assets.stages.training import challenger_name, log_fit, training_files
from mlops_assets.stages.training_set import TrainingData, refuse_late_labels, training_data
from resources.lake.lake import Lake
from resources.records.attempts import Attempt, Challenger
from resources.records.deployment import Deployment
from resources.records.documents import load_record, save_record
from resources.records.references import Reference
from resources.systems import Systems
from resources.tracking.tracking import Version


def deploy(
    spec: ModelSpec, systems: Systems, lineage: Mapping[str, str]
) -> tuple[Version, Fit, TrainingData]:
    """Refit the challenger that passed on everything up to now, make it champion and hand it to the endpoint.

    One at a time for a model, whoever asks: a run, or a person on the command line. Raises HeldBackError, before
    anything is fitted, where a person has to say yes first or has said no.
    """
    with systems.audit.lock(f"deploy-{spec.name}"):
        return _deploy(spec, systems, lineage)


def _deploy(
    spec: ModelSpec, systems: Systems, lineage: Mapping[str, str]
) -> tuple[Version, Fit, TrainingData]:
    lake, tracking, audit = systems.lake, systems.tracking, systems.audit
    candidate, attempt = passed_gate(spec, lake)
    warrant = warranted(spec, tracking, audit, attempt)
    refuse_while_rolling_out(spec, systems, attempt)
    spec, challenger = as_trained(spec, candidate), tracking.version(spec.name, candidate.version)
    _refuse_other_rules(spec, challenger)
    data = training_data(spec, lake, attempt.partition)
    refuse_late_labels(spec, lake, data)
    files = training_files(spec, data, hold_out=False)
    fitted = _fitted_again(spec, systems, candidate, data, files)
    lineage = {**lineage, "challenger": str(challenger.number), **origin_of(challenger)}
    version = log_fit(spec, tracking, data, fitted, files.head(spec, 5), "refit", lineage).register(
        spec, tracking
    )
    record_trained(audit, spec, version, data.hashes, data.now)
    keep = inherit_reference if candidate.recalibrates else keep_reference
    keep(spec, lake, data, files, version, attempt)
    _make_champion(spec, systems, warrant, version, data)
    save_record(lake, attempt_name(spec, data.partition), attempt.with_version(version.number))
    return version, fitted, data


def _fitted_again(
    spec: ModelSpec, systems: Systems, candidate: Challenger, data: TrainingData, files: Files
) -> Fit:
    """What becomes of a challenger that passed: its parameters and rounds on all rows, or its recalibration by all of them."""
    if candidate.recalibrates:
        return refitted(spec, systems.tracking, data, candidate.recalibrates)
    reach, identity = systems.compute or None, version_identity(spec, data, "refit")
    return fit(files, spec, data.features, rounds=candidate.rounds, reach=reach, identity=identity)


def judged(spec: ModelSpec, lake: Lake) -> tuple[Challenger | None, Attempt | None]:
    """The challenger on record and the record of its evaluation, where there are such."""
    candidate = load_record(lake, Challenger, challenger_name(spec))
    attempt = load_record(lake, Attempt, attempt_name(spec, candidate.partition)) if candidate else None
    is_about_it = candidate and attempt and attempt.challenger.version == candidate.version
    return candidate, attempt if is_about_it else None


def rejection(spec: ModelSpec, lake: Lake) -> str | None:
    """The verdict on the newest challenger where the gate rejected it: a normal outcome, after which nothing is deployed."""
    _, attempt = judged(spec, lake)
    return attempt.verdict if attempt and not attempt.promote else None


def passed_gate(spec: ModelSpec, lake: Lake) -> tuple[Challenger, Attempt]:
    """The challenger on record and the record of its evaluation; raises where the newest challenger has not passed."""
    candidate, attempt = judged(spec, lake)
    if candidate is None:
        raise NotReadyError(f"{spec.name} has no challenger yet: materialize {spec.name}/model first")
    if attempt is None:
        raise NotReadyError(
            f"{spec.name}: challenger {candidate.version} was not judged yet: materialize {spec.name}/evaluation first"
        )
    if not attempt.promote:
        raise NotPassedError(f"{spec.name}: no challenger has passed the gate: {attempt.verdict}")
    return candidate, attempt


def _refuse_other_rules(spec: ModelSpec, challenger: Version) -> None:
    """Raise unless the refit would follow the rules that the challenger was fitted, and so judged, by."""
    if challenger.tags.get("spec") != spec_digest(spec):
        raise OtherRulesError(
            f"{spec.name}: the spec changed since challenger {challenger.number} was fitted and judged: "
            f"materialize {spec.name}/model and what follows it again"
        )


def decided_by(spec: ModelSpec, lake: Lake, passed: tuple[Challenger, Attempt]) -> Fingerprint:
    """What decides a deployment: the refit's rows, rules and code, the evidence, and how it is served."""
    candidate, attempt = passed
    data = training_data(spec, lake, attempt.partition)
    rules = spec_digest(as_trained(spec, candidate))
    return of_deployment(spec, data.hashes, data.feature_definitions, rules, attempt.digest)


def is_live(spec: ModelSpec, systems: Systems, sha256: str) -> bool:
    """Whether the champion is a version with this hash, whole, with its reference, and is what the endpoint answers with."""
    champion = systems.tracking.champion(spec.name)
    if champion is None or champion.sha256 != sha256:
        return False
    if load_record(systems.lake, Reference, reference_name(spec, champion.number)) is None:
        return False
    if not spec.deployment.enabled:
        return True
    record = systems.endpoint.records().get(spec.name)
    answers = record is not None and (record.model_sha256, record.clock) == (sha256, spec.clock)
    return record is not None and answers and Path(record.model_path).exists()


def _make_champion(
    spec: ModelSpec, systems: Systems, warrant: Warrant, version: Version, data: TrainingData
) -> None:
    """Record the promotion, move the aliases, and publish the version where the spec says so, in one step.

    A promotion counts from now on, which by the data is the end of what is ingested by then: rows of partitions that passed while it waited were scored by the one before.
    """
    record, endpoint = None, systems.endpoint
    if spec.deployment.enabled:
        path = endpoint.keep(spec.name, version.number, systems.tracking.load(version))
        record = Deployment.model_validate(endpoint_record(spec, version, path))
        endpoint.advance(data.now, spec.use_case)
    now = now_of(spec, systems.lake, systems.clock)
    moment = max(data.now, now or data.now)
    change = warrant.change(version, moment)
    if spec.rollout is None or change.replaces in (None, version.number):
        change_champion(systems, change, record)
    else:
        begin(systems, change, record, spec.rollout)


def refuse_while_rolling_out(spec: ModelSpec, systems: Systems, attempt: Attempt) -> None:
    """Raise HeldBackError where a roll-out is under way, or one of this very evaluation has ended without its version.

    A run that was killed once it had begun one is completed: the evaluation's record names the version that came of it.
    A challenger that waits for the end of another's is in the log from here on.
    """
    if spec.rollout is None:
        return
    lake = systems.lake
    for state in rollouts_of(lake, spec.name):
        of_this = state.promise.evidence.get("evaluation") == attempt.digest
        if of_this and attempt.final is None:
            save_record(lake, attempt_name(spec, attempt.partition), attempt.with_version(state.version))
        if not state.ended and not of_this:
            record_held_back(systems.audit, state, attempt)
            raise HeldBackError(f"{busy(state)}; {in_turn(state, attempt)}")
        if not state.ended:
            raise HeldBackError(busy(state))
        if of_this and state.phase != "completed":
            last = state.transitions[-1]
            raise HeldBackError(
                f"{spec.name}: {in_words(state)} by {last.by} ({last.why}) and is not begun again by itself: train a new "
                f"challenger, or `mlops rollout {spec.name} start --version {state.version} --by NAME --why WHY`"
            )


def endpoint_record(spec: ModelSpec, version: Version, path: Path) -> dict[str, Any]:
    """What the endpoint needs to answer for this version."""
    return {
        "name": spec.name,
        "version": version.number,
        "task": spec.task,
        "model_path": str(path),
        "model_sha256": version.sha256,
        "scorer": SCORER,
        "feature_service": spec.feature_service,
        "rows": spec.prediction.rows,
        "request": spec.prediction.request_model,
        "columns": {name: column.type for name, column in spec.prediction.columns.items()},
        "key": spec.prediction.key,
        "time": spec.prediction.time,
        "owner": spec.owner,
        "clock": spec.clock,
    }
