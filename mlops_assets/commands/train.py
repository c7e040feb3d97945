"""`mlops train`: a variant of a model, fitted and compared with the champion on the same rows."""

from collections.abc import Sequence
from typing import Any

from mlops_assets.spec.model import ModelSpec
from resources.settings import Settings
from resources.yaml_files import YamlError, read_yaml


class VariantError(Exception):
    """The variant that was asked for cannot be tried."""


def try_variant(settings: Settings, model: str, changes: Sequence[str], register: bool) -> int:
    """Fit the variant at "now", judge it on the held-out days, log it to MLflow and print both sides.

    With `register` it becomes the challenger; it is promoted only by the pipeline.
    """
    from mlops_assets.ml.dataset import DatasetError
    from mlops_assets.ml.judging.gate import Contender, PromotionError, judge
    from mlops_assets.ml.judging.leaks import LeakError, refuse_leaks, strongest
    from mlops_assets.ml.training.fit import fit
    from mlops_assets.project import Project
    from mlops_assets.promotion.records import account, record_trained
    from mlops_assets.replay.tables import text_table
    from mlops_assets.stages.judging import anchor_on_trial, hold_out, seen_until
    from mlops_assets.stages.opponents import opponents
    from mlops_assets.stages.search_results import training_spec
    from mlops_assets.stages.training import log_fit, training_files
    from mlops_assets.stages.training_set import newest_partition, training_data

    project = Project.open(settings)
    spec = varied(_spec(project.specs, model), changes)
    if not project.lake.partitions(f"{model}/training_set"):
        raise VariantError(
            f"{model} has no training set yet: `make run`, or materialize {model}/training_set"
        )
    partition = newest_partition(spec, project.lake)
    spec = varied(training_spec(_spec(project.specs, model), project.lake, partition)[0], changes)
    data = training_data(spec, project.lake, partition)
    rows = training_files(spec, data)
    height = rows.read(spec, [spec.prediction.time]).height
    print(
        f"Fitting {model} on {height:,} rows, held out from {data.partition} back {spec.window.hold_out_days} days"
    )
    try:
        refuse_leaks(strongest(rows, spec, data.features), spec)
    except LeakError as error:
        raise VariantError(str(error)) from error
    fitted = fit(rows, spec, data.features, reach=project.resources["compute"])
    against = opponents(spec, project.tracking, project.resources["audit"], data)
    champion, beaten = against.champion, None
    if champion:
        content = project.tracking.load(champion)
        beaten = Contender.of(f"version {champion.number}", content, spec, seen_until(champion))
    variant = Contender.of("the variant", fitted.model, spec, rows.known_by)
    try:
        verdict = judge(hold_out(spec, data), variant, beaten, spec, anchor_on_trial(spec, against.anchor))
    except (PromotionError, DatasetError) as error:
        raise VariantError(str(error)) from error
    lineage = {
        "changes": " ".join(changes) or "none",
        "reason": "tried by hand",
        "launched_by": f"account {account()}",
    }
    logged = log_fit(
        spec, project.tracking, data, fitted, rows.head(spec, 5), "trial", lineage, verdict.challenger
    )
    version = logged.register(spec, project.tracking) if register else None
    if version:
        record_trained(project.resources["audit"], spec, version, data.hashes, data.now)
        project.tracking.set_alias(spec.name, "challenger", version.number)
    print(text_table(_sides(verdict.challenger, verdict.champion, champion.number if champion else None)))
    print(f"\n{verdict.reason}")
    print(
        f"MLflow run {logged.run_id}"
        + (f", registered as version {version.number}" if version else ", not registered")
    )
    return 0


def _spec(specs: dict[str, ModelSpec], model: str) -> ModelSpec:
    if model not in specs:
        raise VariantError(f"model {model!r} does not exist; there are: {', '.join(sorted(specs))}")
    return specs[model]


def varied(spec: ModelSpec, changes: Sequence[str]) -> ModelSpec:
    """The spec with `NAME=VALUE` changes: a field of the trainer where there is one, else a parameter of its library."""
    trainer, known = spec.trainer.model_dump(), dict[str, str]()
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or not name:
            raise VariantError(f"{change!r} is not NAME=VALUE, for example max_depth=8")
        if name in known:
            raise VariantError(f"{name} is set twice, to {known[name]} and to {value}: keep one")
        known[name] = value
        is_field = name in trainer and name != "parameters"
        target = trainer if is_field else trainer.get("parameters", trainer)
        try:
            target[name] = read_yaml(value, f"--set {name}")
        except YamlError as error:
            raise VariantError(str(error)) from error
    try:
        return type(spec).model_validate(spec.model_dump() | {"trainer": trainer})
    except ValueError as error:
        raise VariantError(f"{' '.join(changes)}: {error}") from error


def _sides(
    variant: dict[str, float | None], champion: dict[str, float | None] | None, number: int | None
) -> list[dict[str, Any]]:
    name = f"champion {number}" if number else "champion"
    return [
        {"metric": key, "variant": value, name: (champion or {}).get(key)} for key, value in variant.items()
    ]
