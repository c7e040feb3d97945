"""What a use case says of a dbt project whose models are tables that it reads."""

from typing import Annotated

from pydantic import AfterValidator, Field

from mlops_assets.spec.base import Part
from mlops_assets.spec.cron import Cron


def _line(value: str) -> str:
    return Cron.read(value).line


class DbtSpec(Part):
    """A dbt project, and the command that builds it."""

    project: str = Field(
        min_length=1,
        description="Folder with dbt_project.yml, relative to the use case's or absolute; `${NAME}` stands for an environment "
        "variable.",
    )
    command: str = Field(
        default="dbt",
        min_length=1,
        description="The command dbt: a name on the PATH, or a path into an environment of its own; `${NAME}` as above.",
    )
    profiles: str | None = Field(
        default=None, description="Folder with profiles.yml; the project's own by default."
    )
    target: str | None = Field(
        default=None, description="Output of the profile; the profile's own by default."
    )
    schedule: Annotated[str, AfterValidator(_line)] | None = Field(
        default=None,
        description="Cron line by which all is built, in the use case's time zone; by hand without.",
    )
