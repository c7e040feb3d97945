"""One use case over one state, as a data scientist works with it."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlops_assets.client.errors import ClientError

if TYPE_CHECKING:
    import polars as pl

    from mlops_assets.client.comparison import Comparison
    from mlops_assets.client.predicting import Predictor
    from mlops_assets.spec.model import ModelSpec
    from mlops_assets.stages.evidence import Evidence
    from resources.features.store import FeatureStoreResource
    from resources.settings import Settings
    from resources.systems import Systems

TIME = "event_timestamp"


def open_project(
    home: str | Path | None = None, use_case: str = "", *, endpoint: str = "", key: str = ""
) -> "Client":
    """Open one use case over the state in `home`; without one, over what `MLOPS_HOME` and the other variables say.

    `endpoint` is the address of an endpoint elsewhere, `key` one that it may be asked with. Raises ClientError where there is
    no such state folder, and UseCaseFolderError where there is no such use case.

    >>> shop = open_project("state", "shop")
    >>> shop.models
    ['shop_sent_back']
    """
    from mlops_assets.spec.files import specs_in
    from resources.cluster import resources_of
    from resources.settings import settings, silence_usage_reports
    from resources.state_folder import refuse_unusable
    from resources.systems import Systems
    from resources.use_case_folders import default_use_case, use_case_folder

    silence_usage_reports()
    logging.getLogger("resources").addHandler(
        logging.NullHandler()
    )  # what a server logs is no output of a notebook
    where = settings({**os.environ, "MLOPS_HOME": str(home)} if home else None)
    name = use_case or default_use_case()
    specs = {spec.name: spec for spec in specs_in(use_case_folder(name))}
    refuse_unusable(where.home, writes=False)
    if not where.is_cluster and not where.home.exists():
        raise ClientError(
            f"the state folder {where.home} does not exist: `mlops run {name}` makes it, or name another one"
        )
    return Client(name, where, specs, Systems.of(resources_of(where)), endpoint, key)


@dataclass(frozen=True)
class Client:
    """A use case that was opened; `models` are the names of its models."""

    use_case: str
    settings: "Settings" = field(repr=False)
    specs: "Mapping[str, ModelSpec]" = field(repr=False)
    systems: "Systems" = field(repr=False)
    endpoint: str = ""
    key: str = field(default="", repr=False)

    @property
    def models(self) -> list[str]:
        """Names of the models, in order."""
        return sorted(self.specs)

    def training_set(
        self, rows: "pl.DataFrame", features: str | Sequence[str], time: str = TIME
    ) -> "pl.DataFrame":
        """The rows with each feature as it was known at `time`, by the platform's own point-in-time join.

        `features` is the name of a feature service, or a list of `view`, `view:feature` or a feature that one view alone has.
        `rows` has their join keys, what on-demand features are computed from, and moments with a zone; rows keep their
        number, order and columns. A name that means two things is refused.

        >>> import polars as pl
        >>> day = pl.datetime(2024, 2, 1, time_zone="UTC")
        >>> rows = pl.DataFrame({"shop": ["s03", "s07", "none"]}).with_columns(asked_at=day)
        >>> shop = open_project("state", "shop")
        >>> shop.training_set(rows, ["shop_size", "shop_age_years"], time="asked_at").columns
        ['shop', 'asked_at', 'shop_size', 'shop_age_years']
        >>> shop.training_set(rows, "shop_sent_back", time="asked_at")["shop_size"].null_count()
        1
        """
        from mlops_assets.client.asking import joined

        return joined(self.store, rows, features, time)

    def compare(
        self,
        model: str,
        trainer: Mapping[str, Any] | None = None,
        features: str | Sequence[str] | None = None,
    ) -> "Comparison":
        """Fit a variant of a model at "now" and put it through the model's gate against the champion, on the same held-out rows.

        `trainer` has the fields of the spec's trainer that differ, or parameters of its library; another `kind` is another
        trainer. `features` are named as for `training_set`. Nothing is logged or registered, and no champion changes.

        >>> shop = open_project("state", "shop")
        >>> found = shop.compare("shop_sent_back", trainer={"max_depth": 1}, features=["shop_size"])
        >>> found.metrics.columns
        ['metric', 'variant', 'champion 2']
        >>> found.promote, found.rows.height == found.clusters["rows"].sum()
        (False, True)
        """
        from mlops_assets.client.comparison import comparison

        with TemporaryDirectory(prefix="variant-") as folder:
            spec = self.spec(model)
            return comparison(spec, self.systems, self.store, trainer or {}, features, Path(folder))

    def predict(
        self, model: str, requests: "Mapping[str, Any] | Sequence[Mapping[str, Any]] | pl.DataFrame"
    ) -> Any:
        """The answer of the deployed model to a request, or a list of answers to a list or a frame of them.

        The endpoint is asked where it is up and serves this very model; otherwise this process reads the same features and scores
        by the same code, with equal numbers, and logs nothing.

        >>> shop = open_project("state", "shop")
        >>> answer = shop.predict("shop_sent_back", {"shop": "s03", "amount": 120.5})
        >>> answer["model"], 0 < answer["probability"] < 1
        ('shop_sent_back', True)
        >>> len(shop.predict("shop_sent_back", [{"shop": "s03", "amount": 9.0}, {"shop": "s07", "amount": 200.0}]))
        2
        """
        self.spec(model)
        return self.predictor.answers(model, requests)

    def evidence(self, model: str, version: int) -> "Evidence":
        """Why a version was promoted or not: its evaluation with the test, and the entries of the audit log.

        >>> shop = open_project("state", "shop")
        >>> found = shop.evidence("shop_sent_back", 1)
        >>> found.outcome.partition(",")[0], found.why.partition(":")[0]
        ('promoted as version 2', 'Promoted as the first champion')
        >>> found.log["kind"].to_list()[:3]
        ['trained', 'evaluated', 'trained']
        >>> found.criteria["passes"].to_list()
        [True]
        """
        from mlops_assets.stages.evidence import evidence_of

        return evidence_of(self.spec(model), self.systems, version)

    def spec(self, model: str) -> "ModelSpec":
        """What a model of the use case is declared as. Raises ClientError where there is none of that name."""
        if model not in self.specs:
            there = ", ".join(self.models) or "none"
            raise ClientError(f"{self.use_case} has no model {model!r}; there are: {there}")
        return self.specs[model]

    @cached_property
    def store(self) -> "FeatureStoreResource":
        """The use case's feature store."""
        return self.systems.feature_store.of(self.use_case)

    @cached_property
    def predictor(self) -> "Predictor":
        """What answers, kept from one question to the next."""
        from mlops_assets.client.predicting import Predictor

        address = self.endpoint or self.settings.serve_address
        return Predictor(self.settings, self.systems.endpoint, address, self.key)
