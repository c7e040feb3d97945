"""A booster by XGBoost's library alone: what its Python package imports beside it (pandas, scikit-learn, SciPy) takes seconds.

What the library's own call for a matrix cannot give is asked of the package, which is imported then.
"""

import ctypes
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any


class LibraryError(Exception):
    """What XGBoost's library says of a call that failed."""


class LeanBooster:
    """One model, read from the bytes of its file; raises LibraryError where they are none."""

    def __init__(self, model: bytes, threads: int) -> None:
        self._model, self._threads = model, threads
        self._library = library()
        self.handle = ctypes.c_void_p()
        check(self._library.XGBoosterCreate(None, ctypes.c_uint64(0), ctypes.byref(self.handle)))
        size = ctypes.c_uint64(len(model))
        check(self._library.XGBoosterLoadModelFromBuffer(self.handle, ctypes.c_char_p(model), size))
        check(self._library.XGBoosterSetParam(self.handle, b"nthread", str(threads).encode()))

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self._library.XGBoosterFree(self.handle)

    def attr(self, name: str) -> str | None:
        """An attribute that the model carries; None where it has none of that name."""
        value, success = ctypes.c_char_p(), ctypes.c_int()
        arguments = self.handle, name.encode(), ctypes.byref(value), ctypes.byref(success)
        check(self._library.XGBoosterGetAttr(*arguments))
        return value.value.decode() if success.value and value.value is not None else None

    @cached_property
    def whole(self) -> Any:
        """The same model as an object of XGBoost's package."""
        import xgboost

        return xgboost.Booster({"nthread": self._threads}, model_file=bytearray(self._model))

    def inplace_predict(self, matrix: Any, validate_features: bool) -> Any:
        """The package's own way to score a matrix."""
        return self.whole.inplace_predict(matrix, validate_features=validate_features)


@cache
def library() -> Any:
    """XGBoost's library, which its package loads too."""
    spec = find_spec("xgboost")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("xgboost is not installed")
    [folder] = spec.submodule_search_locations
    path = Path(folder) / "lib" / "libxgboost.so"
    if not path.exists():
        from xgboost import core

        return core._LIB
    loaded_library = ctypes.CDLL(str(path))
    loaded_library.XGBGetLastError.restype = ctypes.c_char_p
    return loaded_library


@cache
def held() -> Any:
    """The same, for calls that are over before another thread would have done anything: it keeps the interpreter meanwhile."""
    calls = library()
    return ctypes.PyDLL(calls._name, handle=calls._handle)


def check(code: int) -> None:
    """Raise LibraryError for a call that failed."""
    if code:
        raise LibraryError((library().XGBGetLastError() or b"").decode())
