"""What Chromium is started with beyond what Playwright gives it: nothing goes past the proxy, and
nothing that a page has no need of is switched on."""

FEATURES_OFF = (
    # What the browser itself would ask its maker's servers for.
    "AutofillServerCommunication",
    "OptimizationHintsFetching",
    "SafeBrowsing",
    "Translate",
    "PreloadTopChromeWebUI",
    # What would go out before a page asks for it, or on another way than a request.
    "Prerender2",
    "LoadingPredictorPrefetch",
    "NavigationPredictorKeyedService",
    "OptimizationHintsFetchingSRP",
    "NavigationPredictor",
    "DnsOverHttps",
    "AsyncDns",
    "EncryptedClientHello",
    "Reporting",
    "NetworkErrorLogging",
    # Local devices, other programs, what others may be told of the user.
    "WebBluetooth",
    "WebUSB",
    "WebOTP",
    "FedCm",
    "DigitalGoodsApi",
    "BrowsingTopics",
    "Fledge",
    "AttributionReporting",
    "DialMediaRouteProvider",
    "CastMediaRouteProvider",
    "GlobalMediaControls",
)

FIXED = (
    # Loopback too goes through the proxy, where it is refused.
    "--proxy-bypass-list=<-loopback>",
    # It resolves nothing: names go to the proxy as they are.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-quic",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--no-pings",
    "--disable-domain-reliability",
    "--disable-speech-api",
    "--disable-notifications",
    "--disable-file-system",
    "--disable-print-preview",
    # Components (a language model among them) are asked for at each start even where their updates
    # are off, as "on demand": at an address that is none, nothing is sent.
    "--component-updater=url-source=about:blank",
    "--deny-permission-prompts",
    "--mute-audio",
    # There is no screen whose memory would be worth a GPU process that others can talk to.
    "--disable-gpu",
    "--disable-3d-apis",
)

DROPPED = (
    # Playwright lets pages open windows as they like, and flood the browser with messages.
    "--disable-popup-blocking",
    "--disable-ipc-flooding-protection",
    "--enable-unsafe-swiftshader",
    # What is ours to say.
    "--proxy-server",
    "--proxy-bypass-list",
    "--host-resolver-rules",
)


def flags(spki_hash: str, script_memory_mb: int) -> list[str]:
    """`spki_hash` is of the one key that the proxy's certificates have; `script_memory_mb` is what
    a page's scripts may hold before their renderer gives up."""
    return [
        *FIXED,
        f"--ignore-certificate-errors-spki-list={spki_hash}",
        f"--js-flags=--max-old-space-size={script_memory_mb}",
        f"--disable-features={','.join(FEATURES_OFF)}",
    ]
