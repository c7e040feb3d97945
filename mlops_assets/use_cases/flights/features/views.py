"""Feature views over the lake's feature tables, one each, as `catalogue.py` lists and describes them.

Tables on a half-hourly or daily grid live for one step: where nothing happened there is no row, and the older
row must not stand in for it. Short lives also keep the offline join small.
"""

from feast import FeatureView, Field, FileSource, PushSource
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.types import Float32, Int64, String

from mlops_assets.use_cases.flights.features import entities
from mlops_assets.use_cases.flights.features.catalogue import VIEWS
from mlops_assets.use_cases.flights.features.described import DOMAIN, KEYS, OWNER, OnDemand

TYPES = {"Float32": Float32, "Int64": Int64, "String": String}


def view(name: str) -> FeatureView:
    """The view of the feature table of that name; the source's path is relative to the lake.

    Where rows may be pushed, an event's timestamp is the moment from which it may be used, and of two rows of one
    moment the one created last counts.
    """
    listed = VIEWS[name]
    keys = [
        Field(name=key, dtype=TYPES[KEYS[key].type], description=KEYS[key].description) for key in listed.keys
    ]
    values = [
        Field(
            name=feature.name,
            dtype=TYPES[feature.type],
            description=feature.description,
            tags={
                "unit": feature.unit,
                "source": listed.source,
                "inputs": " ".join(listed.inputs_of(feature)),
            },
        )
        for feature in listed.features
    ]
    table = FileSource(
        name=name,
        path=f"{DOMAIN}/features/{name}/*.parquet",
        timestamp_field="event_timestamp",
        created_timestamp_column="created" if listed.pushed_as else "",
    )
    return FeatureView(
        name=name,
        entities=[getattr(entities, key) for key in listed.keys],
        ttl=listed.ttl,
        schema=keys + values,
        source=PushSource(name=listed.pushed_as, batch_source=table) if listed.pushed_as else table,
        description=listed.description,
        tags=listed.tags(),
        owner=OWNER,
    )


def describe(view: OnDemandFeatureView, listed: OnDemand) -> None:
    """Give an on-demand view the words of the catalogue; those on its features become tags of the view.

    Not by its decorator, whose text is part of the version of its definitions. And not on its fields: Feast 0.67 applies
    no on-demand field that has a description, because the one that it infers from a trial run has none.
    """
    names = [feature.name for feature in listed.features]
    if names != [field.name for field in view.features]:
        raise ValueError(
            f"the on-demand view {view.name!r} has {[field.name for field in view.features]}, the catalogue lists "
            f"{names}: name the same features in the same order"
        )
    view.description, view.owner, view.tags = listed.description, OWNER, listed.tags()


def only(whole: FeatureView, *features: str) -> FeatureView:
    """The view with some of its features."""
    part = whole[list(features)]
    assert isinstance(part, FeatureView)
    return part


weather = view("weather")
origin_traffic = view("origin_traffic")
carrier_traffic = view("carrier_traffic")
dest_traffic = view("dest_traffic")
carrier_record = view("carrier_record")
route_record = view("route_record")
flight_record = view("flight_record")
aircraft = view("aircraft")
schedule = view("schedule")
plane = view("plane")
