"""What the benchmarks call: small and large, answered as JSON and as server-sent events."""

from wire.callers import Job

KB, MB = 1000, 1_000_000


def _text(size: int) -> bytes:
    return b'{"text":"%b"}' % (b"x" * size)


SMALL = Job("1 KB, JSON", "say", _text(KB), KB)
STREAMED = Job("1 KB, SSE", "step", _text(KB), KB, streamed=True)
LARGE_ARGUMENTS = Job("1 MB arguments", "measure", _text(MB), 50)
LARGE_RESULT = Job("1 MB result", "make", b'{"size":%d}' % MB, MB)
