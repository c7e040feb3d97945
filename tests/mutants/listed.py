"""All mutants, area by area."""

from tests.mutants import changes, models, stores
from tests.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (*models.MUTANTS, *changes.MUTANTS, *stores.MUTANTS)
