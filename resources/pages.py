"""Addresses of the pages that show a thing: an asset in Dagster's UI, a version in MLflow's."""

from urllib.parse import quote

from resources.resource import Resource


class Pages(Resource):
    """The two web UIs, by the addresses under which people open them."""

    dagster: str
    mlflow: str

    def asset(self, *path: str) -> str:
        """The page of an asset."""
        return f"{self.dagster.rstrip('/')}/assets/{'/'.join(quote(part) for part in path)}"

    def run_page(self, run_id: str) -> str:
        """The page of a run."""
        return f"{self.dagster.rstrip('/')}/runs/{quote(run_id)}"

    def version(self, model: str, number: int) -> str:
        """The page of a registered version."""
        return f"{self.mlflow.rstrip('/')}/#/models/{quote(model)}/versions/{number}"


def safe_link(address: str) -> str:
    """An address as a link may have it: of a page, or nothing where following it would run something."""
    return address if address.startswith(("http://", "https://")) else ""
