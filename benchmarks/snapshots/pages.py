"""Pages to take snapshots of: a generated set of the kinds that there are, or a folder of files."""

from pathlib import Path

from page_site import html_of

_SAID = (
    "order river stone amber quiet ledger window copper garden signal harbour winter paper bridge "
    "candle orchard meadow lantern velvet granite"
)
WORDS = _SAID.split()


def generated() -> dict[str, str]:
    """By name, the HTML of each; the same each time."""
    return {
        "table": _page("Orders", _table(400)),
        "form": _page("Sign up", _form()),
        "docs": _page("Guide", _docs()),
        "results": _page("Results", _results(10)),
        "shop": _page("Shop", _shop(48)),
        "app": _page("Board", _app()),
        "frames": _page("Frames", "".join(f"<iframe src=/form title=f{n}></iframe>" for n in "12")),
    }


def from_folder(folder: Path, most: int | None) -> dict[str, str]:
    """The `.html` and `.html.gz` files in a folder and below it, in the order of their names."""
    files = sorted(each for each in folder.rglob("*.html*") if each.is_file())[:most]
    return {
        each.name.partition(".")[0][:12]: html_of(each).decode(errors="replace") for each in files
    }


def _page(title: str, body: str) -> str:
    links = "".join(f"<li><a href=/{each}?utm_source=nav>{each.title()}</a>" for each in WORDS[:8])
    return (
        f"<!doctype html><title>{title}</title><style>body{{font:16px sans-serif}}</style>"
        f"<header><a href=/><span>Home</span></a><nav><ul>{links}</ul></nav></header>"
        f"<main><h1>{title}</h1>{body}</main><footer><ul>{links}</ul><p>All rights.</p></footer>"
    )


def _say(seed: int, count: int) -> str:
    return " ".join(WORDS[(seed * 7 + at * (seed % 5 + 1)) % len(WORDS)] for at in range(count))


def _table(rows: int) -> str:
    body = "".join(
        f"<tr><td>{at}<td>{_say(at, 3)}<td>{at * 37 % 900}.00 €<td><a href=/orders/{at}>Open</a>"
        f"<td><button>Cancel</button>"
        for at in range(rows)
    )
    heads = "".join(f"<th>{each}" for each in ("No", "What", "Total", "Show", "Do"))
    return f"<table><thead><tr>{heads}<tbody>{body}</table>"


def _form() -> str:
    fields = "".join(
        f"<div class=row><label for=f{at}>{_say(at, 2).title()}</label>"
        f"<div><input id=f{at} placeholder='{_say(at + 1, 2)}'></div></div>"
        for at in range(12)
    )
    countries = "".join(f"<option>{_say(at, 1).title()} {at}" for at in range(190))
    boxes = "".join(
        f"<label><input type=checkbox name=b{at}> {_say(at, 4)}</label><br>" for at in range(8)
    )
    return (
        f"<form action=/save method=post>{fields}"
        f"<label>Country <select>{countries}</select></label>"
        f"<label>Password <input type=password value=secret-of-the-form></label>"
        f"<fieldset><legend>Wishes</legend>{boxes}</fieldset><button>Send</button></form>"
    )


def _docs() -> str:
    parts: list[str] = []
    for at in range(25):
        parts.append(f"<h2 id=s{at}>{_say(at, 3).title()}</h2>")
        for more in range(3):
            seed = at * 3 + more
            parts.append(
                f"<p>{_say(seed, 30)} <a href=/guide/{seed}>{_say(seed, 2)}</a>, "
                f"<em>{_say(seed, 2)}</em> and <code>{_say(seed, 1)}()</code>. "
                f"{_say(seed + 1, 25)}.</p>"
            )
        parts.append(f"<ul>{''.join(f'<li>{_say(at + n, 6)}' for n in range(4))}</ul>")
        parts.append(f"<pre><code>run {_say(at, 4)}\nrun {_say(at + 1, 4)}</code></pre>")
    return "".join(parts)


def _results(count: int) -> str:
    found = "".join(
        f"<div class=hit><div><a href='https://{_say(at, 1)}.example/{at}?utm_source=s&id={at}'>"
        f"<h3>{_say(at, 5).title()}</h3>"
        f"<div><cite>https://{_say(at, 1)}.example › {at}</cite></div></a>"
        f"</div><div><span>{at + 1} May 2026 — </span><span>{_say(at, 24)}.</span></div></div>"
        for at in range(count)
    )
    pages = "".join(f"<a href=/results?page={at}>{at}</a> " for at in range(1, 11))
    return (
        f"<form role=search><input name=q value=tea aria-label=Search></form>{found}<p>{pages}</p>"
    )


def _shop(count: int) -> str:
    cards = "".join(
        f"<div class=card><div><a href=/p/{at}><img alt='{_say(at, 3)}' width=90 height=90></a>"
        f"</div><div><div><a href=/p/{at}><span>{_say(at, 4).title()}</span></a></div><div>"
        f"<span>{at}.99 €</span><span> ★ 4.{at % 10}</span></div><div><div><button>Add</button>"
        f"</div></div></div></div>"
        for at in range(count)
    )
    return f"<div class=grid>{cards}</div>"


def _app() -> str:
    def wrapped(inner: str, depth: int = 6) -> str:
        return "<div>" * depth + inner + "</div>" * depth

    lanes = "".join(
        wrapped(
            f"<section aria-label='{_say(lane, 1)}'><h2>{_say(lane, 2)}</h2>"
            + "".join(
                wrapped(
                    f"<div role=button tabindex=0 style=cursor:pointer><span>{_say(lane + at, 4)}"
                    f"</span><span>#{lane}{at}</span></div><button aria-label=Menu>⋮</button>",
                    3,
                )
                for at in range(12)
            )
            + "</section>"
        )
        for lane in range(5)
    )
    return wrapped(lanes)
