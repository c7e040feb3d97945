"""Feature services: the named, versioned sets of features that models are trained on and served with."""

from feast import FeatureService

from mlops_assets.use_cases.flights.features.described import DOMAIN, OWNER
from mlops_assets.use_cases.flights.features.on_demand import trip
from mlops_assets.use_cases.flights.features.views import (
    aircraft,
    carrier_record,
    carrier_traffic,
    dest_traffic,
    flight_record,
    only,
    origin_traffic,
    plane,
    route_record,
    schedule,
    weather,
)

flight_delay_v1 = FeatureService(
    name="flight_delay_v1",
    features=[
        weather,
        origin_traffic,
        carrier_traffic,
        dest_traffic,
        carrier_record,
        route_record,
        flight_record,
        only(aircraft, "aircraft_status", "aircraft_delay", "aircraft_leg_minutes"),
        schedule,
        only(plane, "plane_seats"),
        trip,
    ],
    owner=OWNER,
    tags={"domain": DOMAIN},
    description="What is known two hours before the scheduled departure of a flight from New York.",
)
