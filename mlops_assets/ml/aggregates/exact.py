"""Sums that are exact until they are rounded once: numbers as whole multiples of powers of 2**32, which add without loss.

A window that is left by all of its rows sums to exactly 0, and the order in which rows come and go changes no bit: what
adding and subtracting floats cannot give. The float64 of a sum is the one nearest to it, as of `math.fsum`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
BITS = 32
MASK = (1 << BITS) - 1


@dataclass(frozen=True)
class Limbs:
    """Sums of all columns: `digits[k]` is the multiple of `2**(32 * (low + k))`, of either sign, not carried."""

    digits: Ints
    low: int


def summed(values: npt.NDArray[np.float64] | Ints, running: Callable[[Ints], Ints]) -> Limbs:
    """What `running`, a linear function of whole numbers as cumulative sums are, gives for the values.

    Values are finite. At most 2**30 of them may meet in one sum.
    """
    digits = parts_of(values)
    return Limbs(np.stack([running(share) for share in digits.values()]), min(digits))


def parts_of(values: npt.NDArray[np.float64] | Ints) -> dict[int, Ints]:
    """The digits of each value, by their place: what many values come to is the sum of each digit."""
    parts, places = _split(values)
    low, high = (int(places.min()), int(places.max())) if places.size else (0, 0)
    return {
        place: np.sum([np.where(places + step == place, part, 0) for step, part in enumerate(parts)], axis=0)
        for place in range(low, high + len(parts))
    }


def added(one: Limbs, other: Limbs) -> Limbs:
    """Column by column the sum of both."""
    low = min(one.low, other.low)
    count = max(each.low + each.digits.shape[0] for each in (one, other)) - low
    digits = np.zeros((count, one.digits.shape[1]), np.int64)
    for each in (one, other):
        digits[each.low - low : each.low - low + each.digits.shape[0]] += each.digits
    return Limbs(digits, low)


def _split(values: npt.NDArray[np.float64] | Ints) -> tuple[list[Ints], Ints]:
    """Three digits of each value (two of a whole number), the lowest first, and the place of that one."""
    if values.dtype == np.int64:
        whole = values.astype(np.int64, copy=False)
        return [whole & MASK, whole >> BITS], np.zeros(values.size, np.int64)
    fraction, exponent = np.frexp(np.abs(values))
    whole = np.ldexp(fraction, 53).astype(np.int64)
    places, shift = np.divmod(exponent.astype(np.int64) - 53, BITS)
    lowest = (whole & MASK) << shift
    upper = ((whole >> BITS) << shift) + (lowest >> BITS)
    sign = np.where(values < 0, -1, 1)
    return [sign * (lowest & MASK), sign * (upper & MASK), sign * (upper >> BITS)], np.where(whole, places, 0)


def whole_numbers(sums: Limbs) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """The sums of whole numbers, and where 64 bits do not hold them."""
    low, high, above, sign = _carried(sums.digits)
    negative = high >> (BITS - 1) == 1
    fits = (above == np.where(negative, MASK, 0)) & (sign == np.where(negative, -1, 0))
    return (high << BITS) | low, ~fits


def nearest(sums: Limbs) -> npt.NDArray[np.float64]:
    """The float64 nearest to each sum, of two that are as near the even one."""
    carried = _carried(sums.digits)
    negative = carried[-1] < 0
    carried = _carried(np.where(negative, -carried, carried))
    digits = np.concatenate([np.zeros((2, carried.shape[1]), np.int64), carried]).astype(np.uint64)
    count = digits.shape[0]
    top = np.maximum(count - 1 - np.argmax(digits[::-1] != 0, axis=0), 2)
    columns = np.arange(digits.shape[1])
    first, second, third = (digits[top - step, columns] for step in range(3))
    below = np.cumsum(digits != 0, axis=0)
    rest = np.where(top > 2, below[top - 3, columns] > 0, False)
    _, length = np.frexp(first.astype(np.float64))
    shift = (BITS - length).astype(np.uint64)
    head = ((first << np.uint64(BITS)) | second) << shift
    filled = head | (third >> (np.uint64(BITS) - shift))
    lost = rest | ((third & ((np.uint64(1) << (np.uint64(BITS) - shift)) - np.uint64(1))) != 0)
    odd = filled | lost.astype(np.uint64)
    exponent = (top - 2 + sums.low - 1) * BITS - shift.astype(np.int64)
    with np.errstate(over="ignore"):
        sizes = np.ldexp(odd.astype(np.float64), exponent.astype(np.int32))
    return np.where(first == 0, 0.0, np.where(negative, -sizes, sizes))


def _carried(digits: Ints) -> Ints:
    """The same numbers with digits from 0 to 2**32 - 1, and two more above, the last of which has the sign."""
    carried = np.concatenate([digits, np.zeros((2, digits.shape[1]), np.int64)])
    for place in range(carried.shape[0] - 1):
        carry = carried[place] >> BITS
        carried[place] -= carry << BITS
        carried[place + 1] += carry
    return carried
