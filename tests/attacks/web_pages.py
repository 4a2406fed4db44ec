"""Pages that try a host by every way that a browser loads something on its own. Pure.

Each way asks for `<origin>/<way>`; what is loaded from both a public and an inside origin shows by
the public one that it was really tried.
"""

from collections.abc import Callable, Mapping
from json import dumps

from .web_world import answer

WAYS: dict[str, str] = {
    "img": '<img src="{u}">',
    "srcset": '<img srcset="{u} 1x">',
    "picture": '<picture><source srcset="{u}"><img></picture>',
    "lazy": '<img loading=lazy src="{u}">',
    "input-image": '<input type=image src="{u}">',
    "script": '<script src="{u}"></script>',
    "module": '<script type=module src="{u}"></script>',
    "css": '<link rel=stylesheet href="{u}">',
    "css-import": '<style>@import url("{u}");</style>',
    "css-font": '<style>@font-face {{font-family: f; src: url("{u}")}} b {{font-family: f}}</style>'
    "<b>x</b>",
    "css-background": '<p style="background: url({u})">x</p>',
    "css-image-set": '<p style="background-image: image-set(url({u}) 1x)">x</p>',
    "css-content": '<style>.i{n}::before {{content: url("{u}")}}</style><i class=i{n}></i>',
    "css-list": '<ul><li style="list-style-image: url({u})">x</ul>',
    "css-mask": '<p style="mask-image: url({u})">x</p>',
    "body-background": '<table background="{u}"><td>x</table>',
    "iframe": '<iframe src="{u}"></iframe>',
    "frame-srcdoc": "<iframe srcdoc=\"<img src='{u}'>\"></iframe>",
    "object": '<object data="{u}"></object>',
    "embed": '<embed src="{u}">',
    "video": '<video preload=auto src="{u}"></video>',
    "poster": '<video poster="{u}"></video>',
    "audio": '<audio preload=auto src="{u}"></audio>',
    "track": '<video><track default kind=captions src="{u}"></video>',
    "svg-image": '<svg><image href="{u}"/></svg>',
    "svg-fe-image": "<svg width=9 height=9><filter id=f{n}><feImage href='{u}'/></filter>"
    "<rect width=9 height=9 filter='url(#f{n})'/></svg>",
    "preload": '<link rel=preload as=image href="{u}">',
    "modulepreload": '<link rel=modulepreload href="{u}">',
    "prefetch": '<link rel=prefetch href="{u}">',
    "icon": '<link rel=icon href="{u}">',
    "manifest": '<link rel=manifest href="{u}">',
    "preconnect": '<link rel=preconnect href="{u}">',
    "dns-prefetch": '<link rel=dns-prefetch href="{u}">',
    "prerender": '<link rel=prerender href="{u}">',
    "speculation": '<script type=speculationrules>{{"prefetch": [{{"source": "list", '
    '"urls": ["{u}"]}}], "prerender": [{{"source": "list", "urls": ["{u}"]}}]}}</script>',
    "source-map": "<script>1\n//# sourceMappingURL={u}\n</script>",
    "inline-worker": "<script>new Worker(URL.createObjectURL(new Blob(["
    "`importScripts('{u}')`])))</script>",
    "shared-worker": "<script>new SharedWorker(URL.createObjectURL(new Blob(["
    "`fetch('{u}', {{mode: 'no-cors'}})`])))</script>",
    "worker-fetch": "<script>new Worker(URL.createObjectURL(new Blob(["
    "`fetch('{u}', {{mode: 'no-cors'}})`])))</script>",
    "fetch": "<script>fetch('{u}', {{mode: 'no-cors'}})</script>",
    "fetch-cors": "<script>fetch('{u}')</script>",
    "fetch-local": "<script>fetch('{u}', {{targetAddressSpace: 'local'}}).catch(() => 0)</script>",
    "fetch-keepalive": "<script>fetch('{u}', {{mode: 'no-cors', keepalive: true}})</script>",
    "xhr": "<script>x = new XMLHttpRequest(); x.open('GET', '{u}'); x.send()</script>",
    "event-source": "<script>new EventSource('{u}')</script>",
    "import": "<script>import('{u}').catch(() => 0)</script>",
    "image-object": "<script>new Image().src = '{u}'</script>",
    "font-face": "<script>new FontFace('g', 'url({u})').load().catch(() => 0)</script>",
    "head": "<script>fetch('{u}', {{method: 'HEAD', mode: 'no-cors'}})</script>",
    "form-frame": '<form action="{u}" target=f1{n}><input name=a></form>'
    "<iframe name=f1{n}></iframe>"
    "<script>document.forms[document.forms.length - 1].submit()</script>",
    "link-frame": '<iframe name=f2{n}></iframe><a target=f2{n} href="{u}" id=l{n}>x</a>'
    "<script>document.getElementById('l{n}').click()</script>",
    "frame-location": "<iframe id=f3{n}></iframe><script>"
    "document.getElementById('f3{n}').contentWindow.location = '{u}'</script>",
    "frame-refresh": "<iframe srcdoc=\"<meta http-equiv=refresh content='0;url={u}'>\"></iframe>",
    "frame-data": '<iframe src="data:text/html,<img src={u}>"></iframe>',
    "frame-blob": "<iframe id=f4{n}></iframe><script>document.getElementById('f4{n}').src = "
    "URL.createObjectURL(new Blob(['<img src={u}>'], {{type: 'text/html'}}))</script>",
    "document-write": "<script>document.write('<img src={u}>')</script>",
    "web-socket": "<script>new WebSocket('{u}'.replace('http', 'ws'))</script>",
    "web-socket-worker": "<script>new Worker(URL.createObjectURL(new Blob(["
    "`new WebSocket('{u}'.replace('http', 'ws'))`])))</script>",
    "web-transport": "<script>try {{ new WebTransport('{u}'.replace('http:', 'https:')) }}"
    " catch {{}}</script>",
    "beacon": "<script>navigator.sendBeacon('{u}', 'x')</script>",
    "ping": '<a id=p{n} ping="{u}" href="#x">x</a>'
    "<script>document.getElementById('p{n}').click()</script>",
}

SILENT = frozenset(
    {
        # Connects and asks nothing, or is what a headless browser does not do.
        "preconnect", "dns-prefetch", "prerender", "source-map", "manifest", "icon",
        "web-transport",
        # Held, refused or of another method than looking.
        "beacon", "ping", "web-socket", "web-socket-worker",
        # Only with a gesture, on a trustworthy origin, or not to be seen by the public one.
        "speculation", "fetch-local", "track",
    }
)  # fmt: skip
"""Ways that a public origin need not hear of."""


def everything(*origins: str, ways: Mapping[str, str] = WAYS) -> str:
    """A page of all the ways to all these origins."""
    parts = [
        form.format(u=f"{origin}/{way}", n=f"n{count}")
        for way, form in ways.items()
        for count, origin in enumerate(origins)
    ]
    body = "\n".join(parts)
    return f"<!doctype html><title>Everything</title><body><p>hello</p>{body}</body>"


def imported(*origins: str) -> str:
    """A style sheet that has others."""
    rules = [f'@import url("{each}/css-of-css");' for each in origins]
    return "\n".join(rules)


def _scripted(line: str) -> Callable[[str], str]:
    def page(url: str) -> str:
        return f"<!doctype html><title>x</title><script>{line.format(u=dumps(url))}</script>"

    return page


TRUSTED_WAYS: dict[str, str] = {
    "speculation-eager": '<a href="{u}">x</a><script type=speculationrules>{{"prefetch": '
    '[{{"source": "document", "where": {{"href_matches": "{u}"}}, "eagerness": "immediate"}}]}}'
    "</script>",
    "speculation-relayed": '<script type=speculationrules>{{"prefetch": [{{"source": "list", '
    '"urls": ["{u}"], "requires": ["anonymous-client-ip-when-cross-origin"]}}]}}</script>',
    "dictionary": '<link rel=compression-dictionary href="{u}">',
    "payment": "<script>try {{ new PaymentRequest([{{supportedMethods: '{u}'}}], {{total: "
    "{{label: 'x', amount: {{currency: 'EUR', value: '1'}}}}}}).canMakePayment()"
    ".catch(() => 0) }} catch {{}}</script>",
    "signing-in": "<script>try {{ navigator.credentials.get({{identity: {{providers: "
    "[{{configURL: '{u}', clientId: 'x'}}]}}}}).catch(() => 0) }} catch {{}}</script>",
    "passkey": "<script>try {{ navigator.credentials.get({{publicKey: {{challenge: "
    "new Uint8Array(9), rpId: new URL('{u}').hostname}}}}).catch(() => 0) }} catch {{}}</script>",
    "shared-storage": "<script>try {{ sharedStorage.worklet.addModule('{u}').catch(() => 0) }}"
    " catch {{}}</script>",
    "fenced-frame": "<script>try {{ const f = document.createElement('fencedframe'); "
    "f.config = new FencedFrameConfig('{u}'); document.body.append(f) }} catch {{}}</script>",
    "interest": "<script>try {{ navigator.joinAdInterestGroup({{owner: new URL('{u}').origin, "
    "name: 'x', lifetimeMs: 9999, biddingLogicURL: '{u}', updateURL: '{u}'}}).catch(() => 0) }}"
    " catch {{}}</script>",
    "attribution": '<img attributionsrc="{u}">',
    "token": "<script>try {{ fetch('{u}', {{mode: 'no-cors', privateToken: {{version: 1, "
    "operation: 'token-request'}}}}).catch(() => 0) }} catch {{}}</script>",
    "fetch-later": "<script>try {{ fetchLater('{u}', {{activateAfter: 0}}) }} catch {{}}</script>",
    "paint": "<script>try {{ CSS.paintWorklet.addModule('{u}').catch(() => 0) }} catch {{}}"
    "</script>",
    "audio-worklet": "<script>try {{ new OfflineAudioContext(1, 9, 9999).audioWorklet"
    ".addModule('{u}').catch(() => 0) }} catch {{}}</script>",
    "bundle": '<script type=webbundle>{{"source": "{u}", "resources": ["{u}"]}}</script>',
    "web-socket-stream": "<script>try {{ new WebSocketStream('{u}'.replace('http', 'ws'))"
    ".opened.catch(() => 0) }} catch {{}}</script>",
    "protocol": "<script>try {{ navigator.registerProtocolHandler('web+x', '{u}?%s') }} catch {{}}"
    "</script><iframe src='web+x:1'></iframe>",
}
"""More, which a browser has for trustworthy origins alone, each where it has it at all."""


def heading(origin: str) -> dict[str, str]:
    """Headers of an answer that name another origin; for `answer`."""
    host = origin.rpartition("/")[2]
    links = {
        "linked-image": "rel=preload; as=image",
        "linked-style": "rel=stylesheet",
        "linked-prefetch": "rel=prefetch",
        "linked-module": "rel=modulepreload",
        "linked-dictionary": "rel=compression-dictionary",
        "linked-payment": "rel=payment-method-manifest",
        "linked-connection": "rel=preconnect",
        "linked-page": "rel=prerender",
    }
    return {
        "link": ", ".join(f"<{origin}/{name}>; {what}" for name, what in links.items()),
        "alt_svc": f'h2="{host}"; ma=999, h3="{host}"; ma=999',
        "speculation_rules": f'"{origin}/rules"',
        "sourcemap": f"{origin}/map",
        "set_login": "logged-in",
        "attribution_reporting_register_source": dumps({"destination": origin}),
        "secure_session_registration": f'(ES256);path="{origin}/bound";challenge="c"',
        "report_to": dumps(
            {"group": "g", "max_age": 99, "endpoints": [{"url": f"{origin}/report"}]}
        ),
        "reporting_endpoints": f'g="{origin}/reports"',
        "nel": '{"report_to":"g","max_age":99,"success_fraction":1}',
        "content_security_policy_report_only": f"img-src 'none'; report-uri {origin}/broken; "
        "report-to g",
    }


GOING: dict[str, Callable[[str], str]] = {
    "meta refresh": lambda url: f'<meta http-equiv=refresh content="0;url={url}">',
    "location": _scripted("location = {u}"),
    "replace": _scripted("location.replace({u})"),
    "later": _scripted("setTimeout(() => location.href = {u}, 50)"),
    "window": lambda url: f"<a href='#' onclick=\"window.open('{url}')\">x</a>",
    "top of a frame": lambda url: f"<iframe srcdoc=\"<script>top.location='{url}'</script>\">",
    "form": lambda url: f'<form action="{url}"></form><script>document.forms[0].submit()</script>',
    "link": lambda url: f'<a href="{url}">x</a><script>document.links[0].click()</script>',
    "new tab": lambda url: f'<a target=_blank href="{url}">x</a>',
    "base": lambda url: (
        f'<base href="{url}"><a href="./">x</a><script>document.links[0].click()</script>'
    ),
    "navigation API": _scripted("navigation.navigate({u})"),
    "history": _scripted("history.pushState(0, '', '/x'); location = {u}"),
    "blob": _scripted(
        "location = URL.createObjectURL(new Blob(['<script>location=' + "
        "JSON.stringify({u}) + '</sc' + 'ript>'], {{type: 'text/html'}}))"
    ),
    "javascript": _scripted("location = 'javascript:location=' + JSON.stringify({u})"),
}
"""Pages that go elsewhere by themselves, but for those of CLICKED, which wait for a click."""
CLICKED = ("window", "new tab")

SENDING = {
    "form": '<form method=post action="{u}" target=x{n}><input name=a value=1></form>'
    "<iframe name=x{n}></iframe><script>document.forms[{n}].submit()</script>",
    "multipart": '<form method=post enctype=multipart/form-data action="{u}" target=x{n}>'
    "<input name=a value=1></form><iframe name=x{n}></iframe>"
    "<script>document.forms[{n}].requestSubmit()</script>",
    "text": '<form method=post enctype=text/plain action="{u}" target=x{n}><input name=a></form>'
    "<iframe name=x{n}></iframe><script>document.forms[{n}].submit()</script>",
    "button": '<form target=x{n}><button formmethod=post formaction="{u}" id=b{n}></button></form>'
    "<iframe name=x{n}></iframe><script>document.getElementById('b{n}').click()</script>",
    "fetch": "<script>fetch('{u}', {{method: 'POST', body: 'x'}})</script>",
    "no-cors": "<script>fetch('{u}', {{method: 'POST', mode: 'no-cors', body: 'x'}})</script>",
    "empty": "<script>fetch('{u}', {{method: 'POST', mode: 'no-cors'}})</script>",
    "keepalive": "<script>fetch('{u}', {{method: 'POST', keepalive: true, body: 'x'}})</script>",
    "later": "<script>try {{ fetchLater('{u}', {{method: 'POST', body: 'x', activateAfter: 0}}) }}"
    " catch {{}}</script>",
    "put": "<script>fetch('{u}', {{method: 'PUT', body: 'x'}})</script>",
    "delete": "<script>fetch('{u}', {{method: 'DELETE'}})</script>",
    "patch": "<script>fetch('{u}', {{method: 'PATCH', body: 'x'}})</script>",
    "own": "<script>fetch('{u}', {{method: 'PURGE'}})</script>",
    "long-own": "<script>fetch('{u}', {{method: 'P'.repeat(20000)}})</script>",
    "lower": "<script>fetch('{u}', {{method: 'get ', body: null}}).catch(() => 0)</script>",
    "override": "<script>fetch('{u}', {{headers: {{'X-HTTP-Method-Override': 'DELETE'}}}})"
    "</script>",
    "xhr": "<script>x = new XMLHttpRequest(); x.open('POST', '{u}'); x.send('x')</script>",
    "xhr-delete": "<script>y = new XMLHttpRequest(); y.open('DELETE', '{u}'); y.send('x')</script>",
    "beacon": "<script>navigator.sendBeacon('{u}', 'x')</script>",
    "beacon-json": "<script>navigator.sendBeacon('{u}', "
    "new Blob(['{{}}'], {{type: 'application/json'}}))</script>",
    "beacon-hide": "<script>addEventListener('pagehide', "
    "() => navigator.sendBeacon('{u}', 'x'))</script>",
    "ping": '<a id=p{n} ping="{u}" href="#a">x</a>'
    "<script>document.getElementById('p{n}').click()</script>",
    "worker": "<script>new Worker(URL.createObjectURL(new Blob(["
    "`fetch('{u}', {{method: 'POST', body: 'x'}})`])))</script>",
    "shared-worker": "<script>new SharedWorker(URL.createObjectURL(new Blob(["
    "`fetch('{u}', {{method: 'POST', mode: 'no-cors', body: 'x'}})`])))</script>",
    "frame": "<iframe srcdoc=\"<script>fetch('{u}', {{method: 'POST', mode: 'no-cors'}})"
    '</script>"></iframe>',
    "data-frame": "<iframe src=\"data:text/html,<form method=post action='{u}'></form>"
    '<script>document.forms[0].submit()</script>"></iframe>',
    "csp": '<iframe src="/rules?{u}"></iframe>',
    "web-socket": "<script>new WebSocket('{u}'.replace('http', 'ws')).onopen = "
    "e => e.target.send('x')</script>",
    "redirected": "<script>fetch('/307?{u}', {{method: 'POST', mode: 'no-cors'}})</script>",
}
UNSEEN = frozenset({"ping", "csp", "later", "lower", "long-own"})
"""Of these nothing is seen: switched off in this browser, of trustworthy origins alone, or no
request at all."""


def report_only(url: str) -> bytes:
    """A page that breaks its own rules, of which the browser shall tell somebody."""
    groups = f'{{"group":"g","max_age":99,"endpoints":[{{"url":"{url}"}}]}}'
    return answer(
        "<script>1</script><img src=/x>",
        content_security_policy=f"default-src 'none'; report-uri {url}; report-to g",
        report_to=groups,
        reporting_endpoints=f'g="{url}"',
        nel='{"report_to":"g","max_age":99,"success_fraction":1}',
        permissions_policy="geolocation=(self);report-to=g",
    )
