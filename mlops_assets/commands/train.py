"""`mlops train`: a variant of a model, fitted and compared with the champion on the same rows."""

from collections.abc import Sequence
from typing import Any

from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.variants import VariantError, tried, variant, with_trainer
from resources.settings import Settings
from resources.yaml_files import YamlError, read_yaml


def try_variant(settings: Settings, model: str, changes: Sequence[str], register: bool) -> int:
    """Fit the variant at "now", judge it on the held-out days, log it to MLflow and print both sides.

    With `register` it becomes the challenger; it is promoted only by the pipeline.
    """
    from mlops_assets.project import Project
    from mlops_assets.promotion.records import account, record_trained
    from mlops_assets.replay.tables import text_table
    from mlops_assets.stages.training import log_fit
    from resources.systems import Systems

    project = Project.open(settings)
    systems = Systems.of(project.resources)
    one = variant(_spec(project.specs, model), project.lake, read_changes(changes), " ".join(changes))
    spec, data = one.spec, one.data
    height = one.rows.read(spec, [spec.prediction.time]).height
    print(
        f"Fitting {model} on {height:,} rows, held out from {data.partition} back {spec.window.hold_out_days} days"
    )
    outcome = tried(one, systems)
    verdict, champion = outcome.verdict, outcome.champion
    lineage = {
        "changes": " ".join(changes) or "none",
        "reason": "tried by hand",
        "launched_by": f"account {account()}",
    }
    example = one.rows.head(spec, 5)
    logged = log_fit(
        spec, systems.tracking, data, outcome.fitted, example, "trial", lineage, verdict.challenger
    )
    version = logged.register(spec, systems.tracking) if register else None
    if version:
        record_trained(systems.audit, spec, version, data.hashes, data.now)
        systems.tracking.set_alias(spec.name, "challenger", version.number)
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
    """The spec with `NAME=VALUE` changes of its trainer."""
    return with_trainer(spec, read_changes(changes), " ".join(changes))


def read_changes(changes: Sequence[str]) -> dict[str, Any]:
    """What `NAME=VALUE` texts say, the values as YAML."""
    known, read = dict[str, str](), dict[str, Any]()
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or not name:
            raise VariantError(f"{change!r} is not NAME=VALUE, for example max_depth=8")
        if name in known:
            raise VariantError(f"{name} is set twice, to {known[name]} and to {value}: keep one")
        known[name] = value
        try:
            read[name] = read_yaml(value, f"--set {name}")
        except YamlError as error:
            raise VariantError(str(error)) from error
    return read


def _sides(
    variant: dict[str, float | None], champion: dict[str, float | None] | None, number: int | None
) -> list[dict[str, Any]]:
    name = f"champion {number}" if number else "champion"
    return [
        {"metric": key, "variant": value, name: (champion or {}).get(key)} for key, value in variant.items()
    ]
