"""Commands for Redis by the thousand, put together as bytes a column at a time, and the script that merges rows.

redis-py packs command by command, which costs more than the server's work.
Protocol: https://redis.io/docs/latest/develop/reference/protocol-spec.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ..batch import Batch
from ..codec.encoding import BINARY, fixed, joined, lengths_of, literal, varints
from ..codec.moment import NEVER

ROWS_A_CALL = 200
FIELDS_A_COMMAND = 50
END = literal(b"\r\n")

MERGE = """
local call, unpacked, sub, byte = redis.call, struct.unpack, string.sub, string.byte
local function varint(s, p)
  local n, rest, scale = 0, 0, 1
  for place = 1, 10 do
    local seven = byte(s, p) % 128
    local last = byte(s, p) < 128
    p = p + 1
    if place < 10 then
      n, rest, scale = n + seven * scale, rest + (127 - seven) * scale, scale * 128
    elseif last then
      return -1 - rest, p
    end
    if last then return n, p end
  end
end
local function micros(s)
  local seconds, nanos, p, tag = 0, 0, 1, 0
  while p <= #s do
    tag = byte(s, p)
    local n
    n, p = varint(s, p + 1)
    if tag == 8 then seconds = n elseif tag == 16 then nanos = n end
  end
  return seconds * 1000000 + math.floor(nanos / 1000)
end
for i = 1, #KEYS do
  local key, version = KEYS[i], ARGV[2 * i - 1]
  local stamp, newer = call('HGET', key, STAMP), true
  if stamp then
    local event, created = unpacked('<dd', version)
    local before, was, made = call('HGET', key, VERSION), 0, -math.huge
    if before and sub(before, 17) == stamp then was, made = unpacked('<dd', before) else was = micros(stamp) end
    newer = event > was or (event == was and created >= made)
  end
  if newer then
    local values = ARGV[2 * i]
    WRITE
  end
end
return #KEYS
"""


def merging(
    batch: Batch,
    suffix: bytes,
    values: Mapping[bytes, pa.Array],
    stamp: bytes,
    mark: bytes,
    version: bytes,
    seconds: int,
) -> tuple[str, Iterator[tuple[bytes, int]]]:
    """The script that merges rows of values by field, and the calls of it: their bytes and their number of rows.

    An entity goes as its key, its times, of which the stock one begins with the mark, and its values end to end, each
    behind its length.
    """
    fields, cells = list(values), list(values.values())
    lengths = [lengths_of(some) for some in cells]
    width = "<u1" if all(some.max(initial=0) < 256 for some in lengths) else "<u4"
    content = [part for n, some in zip(lengths, cells, strict=True) for part in (_number(n, width), some)]
    size = np.sum([*lengths, np.full(len(batch), np.dtype(width).itemsize * len(cells))], axis=0)
    times = f", {_quoted(stamp)}, sub(version, 17)"
    if (batch.created != NEVER).any():
        times += f", {_quoted(version)}, version"
    script = _script(fields, times, seconds, width)
    script = script.replace("STAMP", _quoted(stamp)).replace("VERSION", _quoted(version))
    moments = joined(*_versions(batch, mark))
    arguments = joined(_head(lengths_of(moments)), moments, END, _head(size), *content, END)
    keys = joined(_head(lengths_of(batch.keys) + len(suffix)), batch.keys, literal(suffix), END)
    return script, _calls(script, keys, arguments)


def _script(fields: Sequence[bytes], times: str, seconds: int, width: str) -> str:
    form = {"<u1": "Bc0", "<u4": "I4c0"}[width]
    write = ["local at = 1"]
    for start in range(0, len(fields) or 1, FIELDS_A_COMMAND):
        some = fields[start : start + FIELDS_A_COMMAND]
        names = "".join(f"v{i}, " for i in range(len(some)))
        pairs = "".join(f", {_quoted(field)}, v{i}" for i, field in enumerate(some))
        write.append(f"do local {names}after = unpacked('<{form * len(some)}', values, at)")
        write.append(f"at = after call('HSET', key{pairs}{times}) end")
        times = ""
    if seconds:
        write.append(f"call('EXPIRE', key, {seconds})")
    return MERGE.replace("WRITE", " ".join(write))


def _quoted(content: bytes) -> str:
    return "'" + "".join(f"\\{byte:03d}" for byte in content) + "'"


def _number(numbers: np.ndarray, width: str) -> pa.Array:
    typed = np.ascontiguousarray(numbers.astype(width))
    return fixed(typed.view(np.uint8).reshape(len(typed), typed.itemsize))


def _head(lengths: Any) -> pa.Array:
    """What stands before an argument of a command with this length (n,)."""
    digits = pa.array(lengths).cast(pa.large_string()).cast(BINARY)
    return joined(literal(b"$"), digits, END)


def _versions(batch: Batch, mark: bytes) -> tuple[pa.Array | pa.Scalar, ...]:
    """Event and created time as two doubles, in which microseconds are exact to the year 2255, then the stock time stamp.

    A marked one says its nanoseconds even if there are none: a version that takes the mark for them reads them last.
    """
    times = np.stack([batch.event, batch.created], axis=1).astype("<f8")
    seconds, fractions = np.divmod(batch.event, 1_000_000)
    return (
        fixed(times.view(np.uint8)),
        literal(mark),
        varints(seconds, b"\x08", seconds != 0),
        varints(fractions * 1000, b"\x10", None if mark else fractions != 0),
    )


def _calls(script: str, keys: pa.Array, arguments: pa.Array) -> Iterator[tuple[bytes, int]]:
    digest = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest().encode()
    key_bytes, key_ends = _content(keys)
    argument_bytes, argument_ends = _content(arguments)
    for start in range(0, len(keys), ROWS_A_CALL):
        end = min(start + ROWS_A_CALL, len(keys))
        rows = b"%d" % (end - start)
        yield (
            b"".join(
                [
                    b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n" % (3 + 3 * (end - start), digest),
                    b"$%d\r\n%b\r\n" % (len(rows), rows),
                    key_bytes[key_ends[start] : key_ends[end]],
                    argument_bytes[argument_ends[start] : argument_ends[end]],
                ]
            ),
            end - start,
        )


def _content(rows: pa.Array) -> tuple[memoryview, list[int]]:
    _, offsets, content = rows.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[rows.offset : rows.offset + len(rows) + 1]
    return memoryview(content or b""), ends.tolist()
