"""Addresses of the pages that show a thing: an asset in Dagster's UI, a version in MLflow's, a report at the endpoint."""

from urllib.parse import quote

from resources.resource import Resource


class Pages(Resource):
    """The web UIs, by the addresses under which people open them; `endpoint` is empty where nobody knows it."""

    dagster: str
    mlflow: str
    endpoint: str = ""

    def asset(self, *path: str) -> str:
        """The page of an asset."""
        return f"{self.dagster.rstrip('/')}/assets/{'/'.join(quote(part) for part in path)}"

    def run_page(self, run_id: str) -> str:
        """The page of a run."""
        return f"{self.dagster.rstrip('/')}/runs/{quote(run_id)}"

    def version(self, model: str, number: int) -> str:
        """The page of a registered version."""
        return f"{self.mlflow.rstrip('/')}/#/models/{quote(model)}/versions/{number}"

    def report(self, model: str, partition: str) -> str:
        """The page that Evidently drew of a partition's drift, as the endpoint shows it; empty where nobody knows its address."""
        path = f"/reports/{quote(model)}/drift/{quote(partition)}"
        return f"{self.endpoint.rstrip('/')}{path}" if self.endpoint else ""


def safe_link(address: str) -> str:
    """An address as a link may have it: of a page, or nothing where following it would run something."""
    return address if address.startswith(("http://", "https://")) else ""
