"""A feature service of features chosen by name: how a model says what it takes without Feast objects of its own."""

from collections.abc import Mapping, Sequence

from feature_repo.declared.description import Chosen, Declared, Service, chosen
from resources.features.feature_repository import FeatureStoreError
from resources.features.inputs import read
from resources.features.repository import Given, Repository


def service_of(
    name: str,
    repository: Given,
    features: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    given: Sequence[str] | None = None,
    may_be_none: bool = False,
    **said: str,
) -> Service:
    """The service of some features (`view` or `view:feature`; None: all of the repository) without those excluded.

    Of all, those count whose views ask for nothing beside the columns `given`. `said` is its description, owner and place.
    Raises FeatureStoreError where a name is not there, or nothing is left, unless it `may_be_none`.
    """
    declared = read(repository)
    views = declared.views
    able = [
        view for view in sorted(views) if given is None or {*declared.row_columns.get(view, ())} <= {*given}
    ]
    try:
        selection = chosen(features) if features is not None else tuple(Chosen(view=view) for view in able)
        without = chosen(exclude)
    except ValueError as error:
        raise FeatureStoreError(f"features of {name!r}: {error}") from error
    for one in (*selection, *without):
        _refuse_unknown(name, one, views)
    left = tuple(part for one in selection if (part := _without(one, without, views)))
    if not left and not may_be_none:
        raise FeatureStoreError(
            f"features of {name!r}: nothing is left of {', '.join(sorted(views)) or 'no view'}: name a view, or the columns "
            "that each request brings in prediction.request"
        )
    return Service(name=name, features=left, **said)


def with_services(repository: Given, services: Sequence[Service]) -> Repository:
    """The repository with more services; raises FeatureStoreError where one has a name that is there already."""
    given = Repository.of(repository)
    try:
        declared = Declared(views=given.declared.views, services=(*given.declared.services, *services))
    except ValueError as error:
        raise FeatureStoreError(str(error)) from error
    return Repository(package=given.package, declared=declared, project=given.project)


def _refuse_unknown(name: str, one: Chosen, views: Mapping[str, Sequence[str]]) -> None:
    if one.view not in views:
        raise FeatureStoreError(
            f"features of {name!r}: there is no feature view {one.view!r}; there are: {', '.join(sorted(views)) or 'none'}"
        )
    if unknown := [feature for feature in one.features or () if feature not in views[one.view]]:
        raise FeatureStoreError(
            f"features of {name!r}: the view {one.view!r} has no {', '.join(unknown)}; it has {', '.join(views[one.view])}"
        )


def _without(one: Chosen, without: Sequence[Chosen], views: Mapping[str, Sequence[str]]) -> Chosen | None:
    """What is left of a view; the whole view stays whole where nothing of it is left out."""
    gone = next((other for other in without if other.view == one.view), None)
    if gone is None:
        return one
    names = views[one.view] if one.features is None else one.features
    left = () if gone.features is None else tuple(name for name in names if name not in gone.features)
    return Chosen(view=one.view, features=left) if left else None
