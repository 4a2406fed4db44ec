"""What a person sees of a page, asked of its own layout in a world that its scripts cannot reach.

Playwright's accessibility snapshot has the value of a password field, and text that is there for
no eye: of no opacity, outside the page, clipped away. Chromium answers here what both are, frame
by frame, in an isolated world (CDP, Page.createIsolatedWorld): what the page redefined counts for
nothing there.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from flotilla import Conflict
from web_browsing.browser.compacting import Unseen

if TYPE_CHECKING:
    from playwright.async_api import CDPSession, Page

MAX_FRAMES = 40
SCRIPT_MS = 8000

_LOOK = r"""
(() => {
  const MOST_ELEMENTS = 60000, MOST_CHARS = 200000, MOST_MS = 4000, HIDDEN = 1, PLAIN = 2;
  const hidden = new Set(), seen = [], secrets = new Set();
  let elements = 0, chars = 0, complete = true;
  const flat = (text) => text.replace(/[\u200b\u00ad]/g, '').replace(/\s+/g, ' ').trim();
  const number = (text) => parseFloat(text) || 0;
  const isSecret = (field) => field.type === 'password' ||
    /current-password|new-password|one-time-code|cc-number|cc-csc/.test(field.autocomplete || '') ||
    /passw|passphrase|pwd|secret|cvv|cvc/i.test(field.name + ' ' + field.id);
  const clippedAway = (style) => {
    if (style.position !== 'absolute' && style.position !== 'fixed') return false;
    const rect = /^rect\((.*)\)$/.exec(style.clip);
    if (rect) {
      const [top, right, bottom, left] = rect[1].split(/[ ,]+/).map(number);
      if (right - left <= 1 || bottom - top <= 1) return true;
    }
    return false;
  };
  const away = (element, style) => {
    if (number(style.opacity) < 0.05) return true;
    if (/^(inset\((5\d|[6-9]\d|100)%|circle\(0)/.test(style.clipPath)) return true;
    if (clippedAway(style)) return true;
    if (number(style.textIndent) <= -500) return true;
    const box = element.getBoundingClientRect();
    if (style.display !== 'contents' && box.width + box.height > 0) {
      if (box.right + scrollX <= 0 || box.bottom + scrollY <= 0) return true;
      const wide = Math.max(innerWidth, document.documentElement.scrollWidth);
      if (style.position !== 'static' && box.left + scrollX >= wide) return true;
    }
    const clips = (way) => way !== 'visible';
    if (style.display !== 'inline' && style.display !== 'contents' && element.parentElement) {
      if (clips(style.overflowX) && element.clientWidth <= 1) return true;
      if (clips(style.overflowY) && element.clientHeight <= 1) return true;
    }
    return false;
  };
  const colour = (text) => {
    const found = /^rgba?\(([^)]*)\)$/.exec(text);
    return found ? found[1].split(/[ ,\/]+/).map(number) : null;
  };
  const near = (one, other) => one.slice(0, 3).every((part, at) => Math.abs(part - other[at]) < 6);
  const words = (style, ground) => {
    if (number(style.fontSize) < 2) return HIDDEN;
    const ink = colour(style.color);
    if (!ink) return PLAIN;
    const shines = style.textShadow !== 'none' || style.backgroundClip === 'text' ||
      style.webkitTextStrokeWidth !== '0px';
    if (shines) return PLAIN;
    if (ink.length > 3 && ink[3] < 0.05) return HIDDEN;
    return ground && near(ink, ground) ? HIDDEN : PLAIN;
  };
  const groundOf = (style, ground) => {
    // What lies under something that is positioned or has a picture is not known.
    if (style.backgroundImage !== 'none' || style.position !== 'static') ground = null;
    const own = colour(style.backgroundColor);
    if (!own) return null;
    return own.length > 3 && own[3] < 1 ? (own[3] < 0.05 ? ground : null) : own;
  };
  const hide = (text) => {
    const kept = flat(text);
    if (kept.length < 3 || hidden.has(kept)) return;
    chars += kept.length;
    if (chars > MOST_CHARS) complete = false;
    else hidden.add(kept);
  };
  // These first: however large the page is, they are all known.
  const keep = (field) => { if (field.value && isSecret(field)) secrets.add(flat(field.value)); };
  document.querySelectorAll('input').forEach(keep);
  const until = performance.now() + MOST_MS;
  const waiting = [[document.documentElement, false, [255, 255, 255]]];
  while (waiting.length) {
    const [element, gone, under] = waiting.pop();
    const late = elements % 256 === 0 && performance.now() > until;
    if (++elements > MOST_ELEMENTS || late) { complete = false; break; }
    const style = getComputedStyle(element);
    if (style.display === 'none') continue;
    const isGone = gone || away(element, style);
    if (isGone && !gone) hide(element.textContent);
    const ground = groundOf(style, under);
    const how = isGone || style.visibility !== 'visible' ? HIDDEN : words(style, ground);
    if (element instanceof HTMLInputElement) keep(element);
    const roots = element.shadowRoot ? [element, element.shadowRoot] : [element];
    for (const root of roots) for (const child of root.childNodes) {
      if (child.nodeType === 1) waiting.push([child, isGone, ground]);
      else if (child.nodeType === 3 && how === HIDDEN) hide(child.data);
      else if (child.nodeType === 3) seen.push(child.data);
    }
  }
  // What stands elsewhere for everybody to see is no secret of the page's.
  const visible = flat(seen.join(' '));
  const kept = [...hidden].filter((text) => !visible.includes(text));
  kept.sort((one, other) => other.length - one.length);
  return {hidden: kept, secrets: [...secrets], base: document.baseURI, complete};
})()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Of all frames together; `base_url` is the page's own."""

    unseen: Unseen
    base_url: str
    complete: bool
    """Whether all of the page was looked at: it may be too large."""


async def looked_at(page: "Page") -> Seen:
    """Ask all frames of a page. Raises Conflict where it changes too quickly to tell.

    Without an answer nothing may be shown: a password might be among it.
    """
    from playwright.async_api import Error

    for _ in range(3):
        try:
            return await _asked(page)
        except Error:
            # A frame went away while it was asked; what is there now is asked again.
            await asyncio.sleep(0.1)
    raise Conflict(
        "the page changes too quickly to be looked at",
        hint="Wait for it by web.browse.waitFor, then try again.",
        details={"reason": "changing"},
    )


async def _asked(page: "Page") -> Seen:
    from playwright.async_api import Error

    main = await page.context.new_cdp_session(page)
    try:
        answers, complete = await _frames(main)
    finally:
        await main.detach()
    for frame in page.frames[1:MAX_FRAMES]:
        try:
            apart = await page.context.new_cdp_session(frame)
        except Error:
            # Most frames have no process of their own and were among the page's.
            continue
        try:
            more, whole = await _frames(apart)
        finally:
            await apart.detach()
        answers += more
        complete = complete and whole
    return Seen(
        unseen=Unseen(
            hidden=_texts(answers, "hidden"),
            secrets=_texts(answers, "secrets"),
        ),
        base_url=str(answers[0].get("base", "")),
        complete=complete and all(each.get("complete") for each in answers),
    )


def _texts(answers: list[Mapping[str, Any]], member: str) -> tuple[str, ...]:
    found = {str(text): None for each in answers for text in each.get(member, ())}
    # The longest first, so that none is cut within another.
    return tuple(sorted(found, key=len, reverse=True))


async def _frames(session: "CDPSession") -> tuple[list[Mapping[str, Any]], bool]:
    tree = await _sent(session, "Page.getFrameTree")
    ids = _ids(tree["frameTree"])
    answers = [await _look(session, each) for each in ids[:MAX_FRAMES]]
    return answers, len(ids) <= MAX_FRAMES


def _ids(tree: Mapping[str, Any]) -> list[str]:
    found = [str(tree["frame"]["id"])]
    for child in tree.get("childFrames", ()):
        found += _ids(child)
    return found


async def _look(session: "CDPSession", frame_id: str) -> Mapping[str, Any]:
    world = await _sent(session, "Page.createIsolatedWorld", frameId=frame_id, worldName="flotilla")
    answer = await _sent(
        session,
        "Runtime.evaluate",
        expression=_LOOK,
        contextId=world["executionContextId"],
        returnByValue=True,
        timeout=SCRIPT_MS,
    )
    value: Any = answer.get("result", {}).get("value")
    if not isinstance(value, dict):
        raise Conflict(
            "the page cannot be looked at", hint="It may be too large, or be busy: try again."
        )
    return cast("Mapping[str, Any]", value)


async def _sent(session: Any, method: str, **parameters: Any) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = await session.send(method, parameters)
    return answer
