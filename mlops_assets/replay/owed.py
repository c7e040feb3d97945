"""What a replay owes its models once the partitions have passed: a training by the spec as it is now, and reports on partitions they serve.

Each is done, or a sentence of the replay's report says why not.
"""

from collections.abc import Iterator

import dagster as dg

from mlops_assets.automation.unreported import partitions_to_score
from mlops_assets.errors import WorkError
from mlops_assets.ml.tuning.trials import with_found
from mlops_assets.project import Project
from mlops_assets.replay.clock import FEW_PAGES, Progress
from mlops_assets.spec.decides import spec_digest
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.deploying import judged
from mlops_assets.stages.opponents import opponents
from mlops_assets.stages.search_results import parameters_in, training_spec
from mlops_assets.stages.training import challenger_name
from mlops_assets.stages.training_set import newest_partition, training_data
from resources.lake.lake import Lake
from resources.records.attempts import Attempt, Challenger
from resources.records.documents import load_record
from resources.tracking.tracking import Version

SPEC_CHANGED = "spec_changed"


def first_model(project: Project, spec: ModelSpec, progress: Progress) -> None:
    """Train, judge and deploy a model that was never deployed.

    A champion alone is no proof: a run that was killed may have promoted it and not deployed it yet.
    """
    if not project.instance.get_latest_materialization_event(dg.AssetKey([spec.name, "deployment"])):
        project.join(spec, progress)
        project.train(spec, "first model", "first_model", progress)


def follow_spec(project: Project, spec: ModelSpec, progress: Progress) -> Iterator[str]:
    """Train a model whose spec changed since its newest challenger was trained; what came of it, or why it was not done."""
    number = _cut_off(spec, project.lake) or trained_by_another(spec, project)
    if number is None:
        yield from _still_another(spec, project)
        return
    why = f"the spec changed since version {number} was trained"
    if spec.automation == "paused":
        yield (
            f"{spec.name}: {why}, and automation is paused in it: run the job {spec.name}_retrain to train by it"
        )
        return
    project.join(spec, progress)
    if refused := _unfair(spec, project):
        yield f"{spec.name}: {why}, and no challenger of it is trained yet: {refused}"
        return
    project.lake.write_json(_begun(spec), {"after": number, "done": False})
    project.train(spec, why, SPEC_CHANGED, progress)
    project.lake.write_json(_begun(spec), {"after": number, "done": True})
    yield f"{spec.name}: {why}: it was trained by the spec as it is now. {_outcome(spec, project)}"


def _begun(spec: ModelSpec) -> str:
    """Where it stands that a training by a changed spec was begun: one that is killed is made again by the next run."""
    return f"{spec.name}/spec_change"


def _cut_off(spec: ModelSpec, lake: Lake) -> int | None:
    begun = lake.read_json(_begun(spec))
    return begun["after"] if begun and not begun["done"] else None


def trained_by_another(spec: ModelSpec, project: Project) -> int | None:
    """The number of the newest challenger, where the spec as it is now would make another one of the same rows."""
    candidate = load_record(project.lake, Challenger, challenger_name(spec))
    if candidate is None:
        return None
    version = project.tracking.version(spec.name, candidate.version)
    return None if follows(spec, version) else version.number


def follows(spec: ModelSpec, version: Version) -> bool:
    """Whether a version was fitted by the rules of the spec as it is now; parameters that a search found are its own."""
    searches = spec.search is not None and spec.search.apply and version.trainer in (None, spec.trainer.kind)
    parameters = parameters_in(version.tags, f"{spec.name} version {version.number}") if searches else None
    return version.tags.get("spec") == spec_digest(with_found(spec, parameters) if parameters else spec)


def _unfair(spec: ModelSpec, project: Project) -> str | None:
    """Why a challenger trained now could not be judged, before anything is fitted; None where it can."""
    partition = newest_partition(spec, project.lake)
    followed, _ = training_spec(spec, project.lake, partition)
    try:
        opponents(
            followed,
            project.tracking,
            project.resources["audit"],
            training_data(followed, project.lake, partition),
        )
    except WorkError as refused:
        return str(refused)
    return None


def _outcome(spec: ModelSpec, project: Project) -> str:
    champion, (candidate, attempt) = project.tracking.champion(spec.name), judged(spec, project.lake)
    answers = f"Version {champion.number} answers." if champion else "No version answers."
    verdict = f" {attempt.verdict}" if candidate and attempt else ""
    return f"{answers}{verdict} Partitions that had passed keep the scores of their champions."


def _still_another(spec: ModelSpec, project: Project) -> Iterator[str]:
    """A champion by other rules than the newest challenger's, which did not take its place."""
    champion, (candidate, attempt) = project.tracking.champion(spec.name), judged(spec, project.lake)
    if champion is None or candidate is None or attempt is None or attempt.promote:
        return
    if not follows(spec, champion):
        yield (
            f"{spec.name}: version {champion.number} answers, trained by an earlier spec; version {candidate.version}, "
            f"trained by the spec as it is now, was rejected: {attempt.verdict}"
        )


def score_served_partitions(project: Project, spec: ModelSpec, progress: Progress) -> str:
    """Score and report on the partitions since a model's first champion, and say which partitions those are."""
    promotions = [m for version in project.tracking.versions(spec.name) for m in version.promotions]
    if not promotions:
        return f"{spec.name}: no version was promoted, so no partition is scored."
    first = min(promotions)
    due = [
        w
        for w, _ in partitions_to_score(spec, project.lake, project.resources["clock"])
        if spec.calendar.partition(w).end > first
    ]
    for partition in due:
        progress.stage(partition, f"{spec.name}_partition")
        tags = {} if partition == due[-1] else FEW_PAGES
        project.clock([]).execute(f"{spec.name}_partition", progress, partition=partition, tags=tags)
    partitions = [
        w for w in project.lake.partitions(f"{spec.name}/drift") if spec.calendar.partition(w).end > first
    ]
    since = f"{spec.name}: its first champion answers from {first:%Y-%m-%d %H:%M} UTC on"
    if not partitions:
        return (
            f"{since}, the end of what is ingested: no partition is scored, because no model scores a time it was trained on. "
            f"The next partition that is ingested is, by the job {spec.name}_partition."
        )
    count = f"{len(partitions)} partition{'s' * (len(partitions) > 1)}"
    return f"{since}; scored and reported on since: {count}, {partitions[0]} to {partitions[-1]}."


def under_two_specs(spec: ModelSpec, lake: Lake) -> str | None:
    """Why the policies of a model cannot be compared: its year was lived under a spec that is another by now."""
    attempts = (
        load_record(lake, Attempt, f"{spec.name}/attempts/{partition}")
        for partition in lake.records(f"{spec.name}/attempts")
    )
    if not any(attempt and attempt.trigger == SPEC_CHANGED for attempt in attempts):
        return None
    return (
        f"The comparison of policies is left out: the year was replayed under an earlier spec of {spec.name}. For its year "
        "under the new one, run with MLOPS_HOME set to an empty folder."
    )
