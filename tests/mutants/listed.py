"""All mutants, area by area."""

from tests.mutants import changes, models, records, stores, telling, watching, work
from tests.mutants.mutant import Mutant

LISTS = (models, watching, telling, changes, records, stores, work)
MUTANTS: tuple[Mutant, ...] = tuple(one for each in LISTS for one in each.MUTANTS)
