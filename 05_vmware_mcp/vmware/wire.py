"""A session with a vCenter, over connections that keep to the deadline of the call they serve.

pyVmomi blocks and knows no deadlines. Here every connection has the deadline of the call that uses
it, and the call can be ended from outside by cutting its connection.
"""

import hashlib
import hmac
import http.client
import re
import select
import socket
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from flotilla.context import Deadline
from flotilla.errors import FlotillaError, NotConfigured, TimedOut, Unavailable, UpstreamError
from flotilla.upstream import retry_after_s, upstream_error
from vmware.faults import fault_error
from vmware.reading import Vc
from vmware.vcenters import VCenter
from vmware.vsphere import VERSION, Adapter, members_of, name_of, vim, vmodl

KEEP_IDLE_S = 30.0
"""A connection that was unused for longer is made anew: proxies forget them."""
HEAD_BYTES = 4096
"""Within these an answer says to which method it belongs."""


@dataclass(slots=True)
class Exchange:
    """What one call holds: its deadline and, while it talks, its connection."""

    due: Deadline
    changing: bool = False
    """A request that changes something has been sent: nobody knows whether it was done."""
    _connection: http.client.HTTPConnection | None = None
    _ended: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, connection: http.client.HTTPConnection | None) -> None:
        with self._lock:
            self._connection = connection
            if self._ended and connection is not None:
                connection.close()
                raise TimedOut("the call was ended")

    def end(self) -> None:
        """Cut its connection, so that its thread ends now and not when the vCenter likes."""
        with self._lock:
            self._ended = True
            sock = None if self._connection is None else self._connection.sock
            if sock is not None:
                with suppress(OSError):
                    # Not close: the thread may be reading, and the number would be used again.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _Response(http.client.HTTPResponse):
    """An answer that keeps how it began."""

    head = b""

    def read(self, amt: int | None = None) -> bytes:
        data = super().read(amt)
        if len(self.head) < HEAD_BYTES:
            self.head += data[: HEAD_BYTES - len(self.head)]
        return data


class _Connection(http.client.HTTPSConnection):
    """A connection to the one certificate or authority that is trusted."""

    response_class = _Response
    thumbprint: str | None = None
    used_at = 0.0
    answer: http.client.HTTPResponse | None = None
    """What came last."""

    def connect(self) -> None:
        super().connect()
        if self.thumbprint is None:
            return
        shown = hashlib.sha256(self.sock.getpeercert(True) or b"").hexdigest()
        if not hmac.compare_digest(shown, self.thumbprint):
            self.close()
            raise ssl.SSLCertVerificationError("the certificate is not the one of the thumbprint")

    def getresponse(self) -> http.client.HTTPResponse:
        response = super().getresponse()
        if response.status in (200, 500):
            self.answer = response
            return response
        wait_s = retry_after_s(response.getheader("Retry-After"))
        reason = response.reason[:200]
        self.close()
        raise upstream_error("vCenter", response.status, reason, retry_after_s=wait_s)


class _Stub(Adapter):
    """pyVmomi's own speech over connections of ours."""

    def __init__(self, entry: VCenter, context: ssl.SSLContext) -> None:
        # No `host:port` of pyVmomi's own is used: GetConnection makes every connection.
        base: Any = super()
        base.__init__(
            host=entry.host,
            port=entry.port,
            version=VERSION,
            sslContext=context,
            # Its own unpacking goes by half a kilobyte; a vCenter is not far away.
            acceptCompressedResponses=False,
        )
        self._entry = entry
        self._context = context
        self._now = threading.local()

    @contextmanager
    def within(self, exchange: Exchange) -> Generator[None]:
        self._now.exchange = exchange
        try:
            yield
        finally:
            self._now.exchange = None

    def InvokeMethod(  # noqa: N802 - pyVmomi calls it so
        self,
        mo: Any,
        info: Any,
        args: Any,
        outerStub: Any = None,  # noqa: N803
    ) -> Any:
        base: Any = super()
        try:
            answer = base.InvokeMethod(mo, info, args, outerStub)
        except (FlotillaError, vmodl.MethodFault, OSError, http.client.HTTPException):
            raise
        except Exception as error:  # noqa: BLE001 - its reader raises whatever an answer led it to
            raise unreadable(type(error).__name__) from None
        # To pyVmomi whatever XML it does not know is an empty answer: a page of a proxy would do
        # for that of a method that answers nothing.
        if not re.search(rf"[<:]{info.wsdlName}Response[\s/>]".encode(), self._now.head):
            raise unreadable("another answer")
        if answer is not None and not isinstance(answer, info.result):
            raise unreadable(type(answer).__name__)
        return answer

    def GetConnection(self) -> http.client.HTTPConnection:  # noqa: N802 - pyVmomi calls it so
        exchange: Exchange = self._now.exchange
        left_s = exchange.due.remaining_s()
        if left_s <= 0:
            raise TimedOut("vCenter did not answer in time")
        connection = self._pooled()
        if connection is None:
            connection = _Connection(
                self._entry.host, self._entry.port, timeout=left_s, context=self._context
            )
            connection.thumbprint = self._entry.thumbprint
            connection.connect()
        exchange.take(connection)
        connection.sock.settimeout(left_s)
        return connection

    def ReturnConnection(self, conn: _Connection) -> None:  # noqa: N802 - pyVmomi calls it so
        self._now.exchange.take(None)
        self._now.head = conn.answer.head if isinstance(conn.answer, _Response) else b""
        conn.answer, conn.used_at = None, monotonic()
        with self.lock:
            if len(self.pool) < self.poolSize:
                self.pool.append((conn, conn.used_at))
                return
        conn.close()

    def _pooled(self) -> _Connection | None:
        while True:
            with self.lock:
                if not self.pool:
                    return None
                connection: _Connection = self.pool.pop()[0]
            if monotonic() - connection.used_at < KEEP_IDLE_S and _is_quiet(connection.sock):
                return connection
            connection.close()


def unreadable(reason: str) -> UpstreamError:
    """The error for an answer that is none of what was asked."""
    return UpstreamError(
        "vCenter's answer could not be read: it was cut short, or is no answer of a vCenter",
        details={"reason": reason},
    )


def _is_quiet(sock: Any) -> bool:
    """Whether there is nothing to read: where nothing was asked, it would be the other's end."""
    return sock is not None and not select.select([sock], [], [], 0)[0]


def trust(entry: VCenter) -> ssl.SSLContext:
    """How its certificate is judged; NotConfigured for an authority's file that cannot be read."""
    try:
        context = ssl.create_default_context(cafile=entry.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise NotConfigured(f"ca_file {entry.ca_file} cannot be read: {error}") from None
    if entry.thumbprint is not None or not entry.verify:
        # The certificate itself is compared instead, at every connection.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Session:
    """A login at a vCenter; what belongs to it (views, counters) ends with it."""

    def __init__(self, entry: VCenter) -> None:
        self.stub = _Stub(entry, trust(entry))
        self.content: Any = None
        self.views: dict[str, Any] = {}
        self.counters: dict[str, tuple[int, str]] = {}
        self.lock = threading.Lock()
        self.left: list[str] = []
        """Tokens of answers that nobody reads on, which vCenter still holds."""

    def leave(self, token: str) -> None:
        """Nobody reads on from here; nobody waits for vCenter to forget it either."""
        with self.lock:
            self.left.append(token)

    def tidy(self, exchange: Exchange) -> None:
        """Have vCenter forget what was left."""
        with self.lock:
            tokens, self.left = self.left, []
        with _told("tidy up"), self.stub.within(exchange):
            for token in tokens:
                # What it has forgotten already needs no forgetting.
                with suppress(vmodl.MethodFault):
                    self.content.propertyCollector.CancelRetrievePropertiesEx(token)

    def login(self, exchange: Exchange, user: str, password: str) -> None:
        try:
            with _told("log in"), self.stub.within(exchange):
                instance = vim.ServiceInstance("ServiceInstance", self.stub)
                self.content = instance.RetrieveContent()
                self.content.sessionManager.Login(user, password, None)
        except FlotillaError:
            self.stub.DropConnections()
            raise

    def logout(self, exchange: Exchange) -> None:
        try:
            with _told("log out"), self.stub.within(exchange):
                self.content.sessionManager.Logout()
        finally:
            self.stub.DropConnections()

    def run(self, exchange: Exchange, alias: str, work: Callable[["Vc"], Any]) -> Any:
        """What `work` returns; every failure of the wire or the vCenter is an error of ours."""
        with _told(""), self.stub.within(exchange):
            return work(Vc(alias, self, exchange))


@contextmanager
def _told(doing: str) -> Generator[None]:
    """Every failure within as an error of ours."""
    try:
        yield
    except FlotillaError:
        raise
    except vmodl.MethodFault as fault:
        raise fault_error(
            name_of(fault), str(fault.msg or ""), members_of(fault), doing=doing
        ) from None
    except ssl.SSLCertVerificationError as error:
        why = getattr(error, "verify_message", "") or "it is another one than the thumbprint says"
        raise NotConfigured(
            f"the vCenter's certificate is not trusted: {why}",
            hint="Give its authority as ca_file, or its SHA-256 as thumbprint, in vmware.yaml.",
            details={"reason": "certificate"},
        ) from None
    except TimeoutError:
        raise TimedOut("vCenter did not answer in time") from None
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(
            f"the connection to vCenter failed: {type(error).__name__}",
            hint="Is it up, and are host and port in vmware.yaml right?",
        ) from None
