"""What a feature repository says of the features of a service: descriptions, units, and what each is computed from.

Feast keeps a description and tags of every field; the tag `unit` names a unit. On-demand fields can have neither
in Feast 0.67, so that their view has the tags `<feature>.description`, `<feature>.unit` and `<feature>.inputs`: the
request columns and features that it is computed from; without it, all that the view reads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from resources.features import feature_repository
from resources.features.repository import Given

SAID = ("description", "unit", "inputs")


@dataclass(frozen=True)
class DescribedFeature:
    """One feature; `view` and `keys` where it is stored, `inputs` where it is computed when it is asked for."""

    name: str
    description: str
    unit: str
    view: str
    keys: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()


def described_features(service: str, repository: Given) -> dict[str, DescribedFeature]:
    """Every feature that a service gives or computes others from, by name."""
    definition = feature_repository.service(repository, service)
    stored = [f for view in feature_repository.views_of(definition, repository) for f in _stored(view)]
    computed = [
        f for view in feature_repository.on_demand_of(definition, repository) for f in _computed(view)
    ]
    return {feature.name: feature for feature in (*stored, *computed)}


def _stored(view: Any) -> Iterator[DescribedFeature]:
    for field in view.features:
        yield DescribedFeature(
            field.name, field.description, field.tags.get("unit", ""), view.name, keys=tuple(view.join_keys)
        )


def _computed(view: Any) -> Iterator[DescribedFeature]:
    projections = view.source_feature_view_projections.values()
    everything = [*view.get_request_data_schema(), *(f.name for p in projections for f in p.features)]
    for name in (field.name for field in view.features):
        description, unit, inputs = (view.tags.get(f"{name}.{what}", "") for what in SAID)
        unknown = sorted(set(inputs.split()) - set(everything))
        if unknown:
            raise feature_repository.FeatureStoreError(
                f"the on-demand view {view.name!r} is tagged with inputs of {name!r} that it does not read: "
                f"{', '.join(unknown)}; it reads {', '.join(everything)}"
            )
        yield DescribedFeature(
            name, description, unit, view.name, inputs=tuple(inputs.split()) or tuple(everything)
        )
