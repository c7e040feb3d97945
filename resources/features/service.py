"""A feature service in words that outlive its code: views, keys, lives and a hash of each view's definition.

The serving log keeps one beside the requests it holds, so that a request can be compared with definitions that have
changed since, view by view.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from resources.features import feature_repository
from resources.features.repository import Given

if TYPE_CHECKING:
    from feast import FeatureView
    from feast.on_demand_feature_view import OnDemandFeatureView


@dataclass(frozen=True)
class DescribedView:
    """One view behind a service: a stored one with its keys and time to live, or an on-demand one with its inputs.

    `features` are those the service serves (none of a view that only on-demand features read); `ttl_seconds` 0 is
    for ever; `definition` changes with whatever decides the view's values, its inputs' definitions included.
    """

    name: str
    definition: str
    features: tuple[str, ...]
    keys: tuple[str, ...] = ()
    ttl_seconds: float = 0
    inputs: tuple[str, ...] = ()

    @property
    def ttl(self) -> timedelta | None:
        return timedelta(seconds=self.ttl_seconds) if self.ttl_seconds else None


@dataclass(frozen=True)
class DescribedService:
    """A feature service: its views, the columns it asks of a request, and the hash of all of it."""

    name: str
    definition: str
    inputs: tuple[str, ...]
    views: tuple[DescribedView, ...]

    @property
    def features(self) -> dict[str, str]:
        """View by feature, in the service's order."""
        return {feature: view.name for view in self.views for feature in view.features}

    def with_columns(self, columns: Mapping[str, str]) -> "DescribedService":
        """The service as a model is asked that is given more columns of a request; another definition, by which its requests are logged."""
        if not columns:
            return self
        return replace(
            self,
            definition=_hash([self.definition, dict(columns)]),
            inputs=tuple(dict.fromkeys([*self.inputs, *columns])),
        )

    def to_json(self) -> str:
        """As text that `described` reads back."""
        return json.dumps(asdict(self), sort_keys=True, indent=1)


def described(text: str) -> DescribedService:
    """What `to_json` wrote."""
    content: dict[str, Any] = json.loads(text)
    views = tuple(DescribedView(**_with_tuples(view)) for view in content.pop("views"))
    return DescribedService(**_with_tuples(content), views=views)


def _with_tuples(content: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}


def describe(service: str, repository: Given, inputs: tuple[str, ...]) -> DescribedService:
    """The service as the repository's code defines it now; `inputs` are the join keys and request columns of a row."""
    definition = feature_repository.service(repository, service)
    served = {p.name: tuple(f.name for f in p.features) for p in definition.feature_view_projections}
    stored = {
        view.name: _stored(view, served) for view in feature_repository.views_of(definition, repository)
    }
    computed = {
        view.name: _on_demand(view, served, stored)
        for view in feature_repository.on_demand_of(definition, repository)
    }
    by_view = stored | computed
    order = [*served, *(name for name in stored if name not in served)]
    return DescribedService(
        name=service,
        definition=feature_repository.content_hash(definition, repository),
        inputs=inputs,
        views=tuple(by_view[name] for name in order if name in by_view),
    )


def _stored(view: "FeatureView", served: Mapping[str, tuple[str, ...]]) -> DescribedView:
    return DescribedView(
        name=view.name,
        definition=_hash(feature_repository.describe_view(view)),
        features=served.get(view.name, ()),
        keys=tuple(view.join_keys),
        ttl_seconds=view.ttl.total_seconds() if view.ttl else 0,
    )


def _on_demand(
    view: "OnDemandFeatureView", served: Mapping[str, tuple[str, ...]], stored: Mapping[str, DescribedView]
) -> DescribedView:
    read = sorted({p.name for p in view.source_feature_view_projections.values()})
    behind = {name: stored[name].definition for name in read}
    return DescribedView(
        name=view.name,
        definition=_hash({"code": feature_repository.describe_on_demand(view), "inputs": behind}),
        features=served[view.name],
        inputs=tuple(behind),
    )


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
