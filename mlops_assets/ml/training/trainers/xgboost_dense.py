"""A booster's own call for a dense matrix: `Booster.inplace_predict` of XGBoost without what it asks about its data first.

That asks which of a dozen kinds of data it was given, which for one row takes longer than the trees do. So does what the
library does where it is given no holder of a matrix: it makes one, for which it reads in files how many cores it may use.
"""

import ctypes
import json
import threading
from typing import Any

import numpy as np

from mlops_assets.ml.column_encoding import RowBuffer
from mlops_assets.ml.training.trainers.xgboost_lean import check, held, library

SHORT = 256
"""Up to so many rows the interpreter is not let go while they are scored: another thread would take it for longer than that takes."""

WHOLE = {
    "type": 0,
    "training": False,
    "iteration_begin": 0,
    "iteration_end": 0,
    "missing": float("nan"),
    "strict_shape": False,
    "cache_id": 0,
}


class _Holder:
    """What the library holds a matrix in while it scores it; of one thread, and used again for the next matrix."""

    def __init__(self) -> None:
        self._library = library()
        self.handle = ctypes.c_void_p()
        check(self._library.XGProxyDMatrixCreate(ctypes.byref(self.handle)))
        self.scores = ctypes.POINTER(ctypes.c_float)()
        self.shape, self.dimensions = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
        self.outputs = ctypes.byref(self.shape), ctypes.byref(self.dimensions), ctypes.byref(self.scores)
        self._described: tuple[int, int, bytes] = 0, 0, b""

    def of(self, row: RowBuffer) -> bytes:
        """What the library is told of a row that stays where it is."""
        address, width = row.address, row.matrix.shape[1]
        if self._described[:2] != (address, width):
            self._described = address, width, _described(address, 1, width)
        return self._described[2]

    def __del__(self) -> None:
        if self.handle:
            self._library.XGDMatrixFree(self.handle)


class _OfThread(threading.local):
    """A holder for every thread that asks."""

    def __init__(self) -> None:
        self.holder = _Holder()


class Dense:
    """Scores float32 matrices [rows, features] by one booster, of the package or a lean one, in any thread."""

    def __init__(self, booster: Any) -> None:
        self._booster, self._library, self._check = booster, library(), check
        self._short = held()
        self._arguments = json.dumps(WHOLE).encode()
        self._own = _OfThread()

    def __call__(self, matrix: np.ndarray) -> np.ndarray:
        """What `inplace_predict(matrix)` gives: float32 [rows]; another shape where the booster has several outputs."""
        if matrix.dtype != np.float32 or not matrix.flags.c_contiguous or not matrix.size:
            return self._booster.inplace_predict(matrix, validate_features=False)
        rows, features = matrix.shape
        place, _ = matrix.__array_interface__["data"]
        library, own = self._short if rows <= SHORT else self._library, self._own.holder
        given = self._booster.handle, _described(place, rows, features), self._arguments, own.handle
        self._check(library.XGBoosterPredictFromDense(*given, *own.outputs))
        if own.dimensions.value != 1:
            return self._booster.inplace_predict(matrix, validate_features=False)
        return np.array(own.scores[:rows], np.float32)

    def row(self, row: RowBuffer) -> float | None:
        """The same for one row that stays where it is; None where the booster has several outputs."""
        own = self._own.holder
        given = self._booster.handle, own.of(row), self._arguments, own.handle
        self._check(self._short.XGBoosterPredictFromDense(*given, *own.outputs))
        return own.scores[0] if own.dimensions.value == 1 else None


def _described(address: int, rows: int, features: int) -> bytes:
    return f'{{"data":[{address},true],"shape":[{rows},{features}],"typestr":"<f4","version":3}}'.encode()
