"""Errors and slow answers as streams: e-processes, which may be looked at after every request and never spend anything.

Each request is a fault or it is not. Two nonnegative supermartingales are held against what was counted, and by Ville's
inequality (1939) one of them reaches `1 / alpha` with probability at most `alpha`, whenever one looks:

- that the version's rate is above a limit: a mixture of likelihood ratios over rates above it (Robbins 1970; Howard,
  Ramdas, McAuliffe & Sekhon 2021; Johari, Koomen, Pekelis & Walsh 2022);
- that it is above the champion's at the same time: the E-variable of two streams of Turner, Ly & Gruenwald (2024), each
  block with the rates that the blocks before it suggest.

A version is at fault where both say so, so that an outage which befalls both is nobody's fault. A quantile of the latency
is the same question (Lindon, Sanden & Shirikian 2022): at most a share of requests may take longer than the limit. Requests
are taken to be independent given the rates; faults that come in bursts cost more than is stated.
"""

import math
from dataclasses import dataclass, replace

PRIOR = (0.5, 0.5)
"""Jeffreys' prior, of which the part above the limit is mixed over: it decides how fast a fault is found, not how often falsely."""

FARTHER = 10.0
"""By this factor from the limit is what is bet on at first."""

FLOOR = -700.0
"""Least logarithm that is kept: less is no number in a record."""


@dataclass(frozen=True)
class Stream:
    """What was counted of one kind of fault since the step began, of the version and of the champion beside it.

    `against` is the logarithm of the evidence that the version's rate is above the champion's.
    """

    requests: int = 0
    faults: int = 0
    champion_requests: int = 0
    champion_faults: int = 0
    against: float = 0.0

    def __post_init__(self) -> None:
        for faults, requests in (
            (self.faults, self.requests),
            (self.champion_faults, self.champion_requests),
        ):
            if not 0 <= faults <= requests:
                raise ValueError(
                    f"{faults} faults of {requests} requests: a request is a fault or it is not, so count both whole"
                )

    @property
    def rate(self) -> float | None:
        """Share of faults; None before the first request."""
        return self.faults / self.requests if self.requests else None

    def then(self, block: "Stream", limit: float) -> "Stream":
        """With what was counted since, as the next block; the bet on it begins from a version well above the limit."""
        return replace(
            self,
            requests=self.requests + block.requests,
            faults=self.faults + block.faults,
            champion_requests=self.champion_requests + block.champion_requests,
            champion_faults=self.champion_faults + block.champion_faults,
            against=max(FLOOR, self.against + log_e_of_block(self, block, limit)),
        )

    def evidence(self, limit: float) -> float:
        """Logarithm of the evidence that the rate is above the limit, and above the champion's where there is one beside it."""
        above = log_e_above(self.faults, self.requests, limit)
        return min(above, self.against) if self.champion_requests else above

    def shows(self, limit: float, alpha: float) -> bool:
        """Whether it is shown, whenever one looks, that the version is at fault."""
        return self.evidence(limit) >= -math.log(alpha)


def log_e_above(faults: int, requests: int, limit: float) -> float:
    """Logarithm of the e-process against a rate of at most `limit`, from the counts so far; 0 before the first request."""
    from scipy.special import betaincc, betaln, xlog1py, xlogy

    if not 0 < limit < 1:
        raise ValueError(f"a limit of {limit} is no rate: give one above 0 and under 1")
    a, b = PRIOR
    after = a + faults, b + requests - faults
    mass = float(betaincc(*after, limit))
    if mass <= 0:
        return FLOOR
    mixed = float(betaln(*after) - betaln(a, b)) + math.log(mass) - math.log(float(betaincc(a, b, limit)))
    return max(FLOOR, mixed - float(xlogy(faults, limit) + xlog1py(requests - faults, -limit)))


def log_e_of_block(past: Stream, block: Stream, limit: float) -> float:
    """Logarithm of the E-variable of one block against a rate of at most the champion's, by what was known before it.

    Before anything is known the bet is on a version ten times above the limit, and a champion ten times below it.
    """
    from scipy.special import xlog1py, xlogy

    if not block.requests or not block.champion_requests:
        return 0.0
    ours = (past.faults + 1) / (past.requests + max(2.0, 1 / (FARTHER * limit)))
    theirs = (past.champion_faults + 1 / FARTHER) / (past.champion_requests + 1 / limit)
    if ours <= theirs:
        return 0.0
    both = block.requests + block.champion_requests
    together = (block.requests * ours + block.champion_requests * theirs) / both

    def gained(faults: int, requests: int, rate: float) -> float:
        good = requests - faults
        bet = xlogy(faults, rate) + xlog1py(good, -rate)
        return float(bet - xlogy(faults, together) - xlog1py(good, -together))

    return gained(block.faults, block.requests, ours) + gained(
        block.champion_faults, block.champion_requests, theirs
    )
