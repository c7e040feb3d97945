"""What an endpoint says is wrong with the models that it serves, asked from outside."""

from collections.abc import Mapping

WITHIN_S = 2.0


def problems_at(address: str) -> Mapping[str, str] | None:
    """By model why it cannot be served as it should; None where the endpoint does not answer or, having keys, does not say."""
    import httpx

    try:
        answer = httpx.get(f"{address}/healthz", timeout=WITHIN_S, trust_env=False)
        problems = answer.raise_for_status().json().get("problems")
    except (httpx.HTTPError, ValueError):
        return None
    return {str(name): str(why) for name, why in problems.items()} if isinstance(problems, dict) else None
