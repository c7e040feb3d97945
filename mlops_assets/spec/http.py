"""A web address as the source of a table: what is asked for, how pages follow one another, and how rows stand in an answer."""

import re
from datetime import timedelta
from typing import Annotated, Literal, Self
from urllib.parse import parse_qsl, urlsplit

import pydantic
from pydantic import AfterValidator, Field

from mlops_assets.spec.base import Duration, Part

BOUNDS = (":start", ":end")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
FILLED_IN = re.compile(r"\$\{[^}]*\}")
SECRET = re.compile(r"pass|pwd|token|secret|api_?key|^key$|auth|signature|^sig$", re.IGNORECASE)


def name_of_variable(value: str) -> str:
    """The name of an environment variable; raises ValueError for what cannot be one."""
    if not VARIABLE.fullmatch(value):
        raise ValueError(
            "that is no name of a variable: put the value into an environment variable, and its name here, for example "
            "SHOP_TOKEN; secrets stay out of files that way"
        )
    return value


def _web_address(value: str) -> str:
    plain = FILLED_IN.sub("x", value)
    parts = urlsplit(f"https://{plain}" if value.startswith("${") and "://" not in plain else plain)
    if parts.scheme not in ("http", "https", "x") or not parts.hostname:
        raise ValueError(
            f"{value!r} is no web address: write https://host/path, or ${{NAME}} for the beginning"
        )
    if "@" in parts.netloc:
        raise ValueError(
            "url has a user before its host: leave it out, and name a variable with the whole header, as in "
            "headers: {Authorization: SHOP_TOKEN}"
        )
    if parts.query or parts.fragment:
        names = [name for name, _ in parse_qsl(parts.query)] or ["..."]
        raise ValueError(f"url has a query: write it as parameters: {{{names[0]}: ...}}, a secret as tokens")
    return value


Variable = Annotated[str, AfterValidator(name_of_variable)]
Place = Annotated[str, Field(min_length=1, pattern=r"^[^.\s]+(\.[^.\s]+)*$")]


class Pages(Part):
    """How an answer that comes in pages goes on."""

    by: Literal["page", "offset", "cursor", "link"] = Field(
        description="page: a number that grows by one; offset: how many rows were given before; cursor: a value that the "
        "answer gives for the next page; link: an address in the answer, or in its Link header."
    )
    parameter: str | None = Field(
        default=None, min_length=1, description="Query parameter of page, offset or cursor."
    )
    first: int = Field(default=1, ge=0, description="Number of the first page.")
    next: Place | None = Field(
        default=None,
        description="Where in a JSON answer the next cursor or address stands, as in meta.next; absent: the Link header.",
    )

    @pydantic.model_validator(mode="after")
    def _agree(self) -> Self:
        if (self.by == "link") == (self.parameter is not None):
            raise ValueError(
                "pages by link need no parameter: the address says all"
                if self.by == "link"
                else f"pages by {self.by} need the name of the query parameter: give parameter"
            )
        if self.by == "cursor" and self.next is None:
            raise ValueError(
                "pages by cursor need next, where the answer says the next one, as in meta.next_cursor"
            )
        if self.by in ("page", "offset") and self.next is not None:
            raise ValueError(f"pages by {self.by} are counted: leave next out, or say by: cursor")
        return self


class HttpSource(Part):
    """Rows that a web address answers, as JSON or CSV."""

    kind: Literal["http"] = Field(description="A web address that answers JSON or CSV.")
    url: Annotated[str, AfterValidator(_web_address)] = Field(
        description="http(s)://host/path without a query; `${NAME}` stands for an environment variable."
    )
    parameters: dict[str, str | int | float | bool] = Field(
        default_factory=dict,
        description="Query parameters; `:start` and `:end` are the first moment of a partition and the first one after it.",
    )
    moments: Literal["iso", "day", "seconds", "milliseconds"] = Field(
        default="iso",
        description="How :start and :end are written: 2024-01-01T00:00:00Z, days of the table's timezone (the last may be "
        "included or not), or a count since 1970.",
    )
    headers: dict[str, Variable] = Field(
        default_factory=dict,
        description="Header -> name of the environment variable that holds its whole value, as in {Authorization: SHOP_TOKEN}.",
    )
    tokens: dict[str, Variable] = Field(
        default_factory=dict,
        description="Query parameter -> name of the environment variable that holds its value.",
    )
    format: Literal["json", "csv"] = Field(default="json", description="What the answers are.")
    rows: Place | None = Field(
        default=None,
        description="Where in a JSON answer the list of rows stands, as in data.items; absent: it is the answer.",
    )
    fields: dict[str, Place] = Field(
        default_factory=dict,
        description="Column -> where in a row of JSON its value stands, as in {user_id: user.id}.",
    )
    omitted: Literal["refused", "missing"] = Field(
        default="refused",
        description="refused: a column that no row of JSON has is told; missing: the source leaves out what has no value.",
    )
    separator: str = Field(
        default=",", min_length=1, max_length=1, description="What stands between two values of CSV."
    )
    missing: list[str] = Field(
        default_factory=list,
        description="What stands in CSV where a value is missing, beside nothing at all.",
    )
    pages: Pages | None = Field(
        default=None, description="How an answer that comes in pages goes on; absent: it is one."
    )
    within: Duration = Field(
        default="10min",  # type: ignore[assignment]
        validate_default=True,
        description="The time that all pages of a partition may take, pauses between tries included.",
    )
    most_megabytes: float = Field(
        default=512, gt=0, description="How much all pages of a partition may be, unpacked, in megabytes."
    )

    @pydantic.field_validator("parameters")
    @classmethod
    def _say_no_secret(
        cls, value: dict[str, str | int | float | bool]
    ) -> dict[str, str | int | float | bool]:
        for name, given in value.items():
            if SECRET.search(name):
                raise ValueError(
                    f"parameters.{name} has the name of a secret: put its value into an environment variable, and write "
                    f"tokens: {{{name}: SHOP_TOKEN}}"
                )
            if isinstance(given, str) and given.startswith(":") and given not in BOUNDS:
                raise ValueError(
                    f"parameters.{name} is {given}, which nobody fills in: :start and :end are given"
                )
        return value

    @pydantic.field_validator("within")
    @classmethod
    def _is_some_time(cls, value: timedelta) -> timedelta:
        if value < timedelta(seconds=1):
            raise ValueError(
                "within is less than a second: give the time that all pages may take, for example 10min"
            )
        return value

    @pydantic.model_validator(mode="after")
    def _agree(self) -> Self:
        if self.format == "csv":
            said = {"rows": self.rows, "fields": self.fields, "pages.next": self.pages and self.pages.next}
            if name := next((name for name, given in said.items() if given), None):
                raise ValueError(f"{name} is a place in JSON, and the answers are CSV: leave it out")
        taken = {*self.parameters, *([self.pages.parameter] if self.pages and self.pages.parameter else [])}
        if both := next((name for name in self.tokens if name in taken), None):
            raise ValueError(f"tokens.{both} is said twice: leave it out of parameters and pages")
        return self

    @property
    def bounded(self) -> bool:
        """Whether a span of time is asked for."""
        return any(given in BOUNDS for given in self.parameters.values())
