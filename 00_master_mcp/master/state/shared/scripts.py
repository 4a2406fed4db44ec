"""What Redis does in one step: each script is told all that it needs, and keeps time by itself."""

from dataclasses import dataclass, field
from hashlib import sha1


@dataclass(frozen=True)
class Script:
    source: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        # The name that Redis gives it; no secret hangs on it.
        sha = sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", sha)


TAKE = Script("""
-- The arithmetic of flotilla/gcra.py, in microseconds.
-- KEYS: the caller's. ARGV: interval, calls at once. Answers the microseconds to wait.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local interval, at_once = tonumber(ARGV[1]), tonumber(ARGV[2])
local due = tonumber(redis.call('GET', KEYS[1]) or '0')
if due < now then due = now end
-- The clock of a server, unlike a hub's, can be set back.
if due > now + interval * at_once then due = now + interval * at_once end
local wait = due - interval * (at_once - 1) - now
if wait > 0 then return math.ceil(wait) end
due = due + interval
redis.call('SET', KEYS[1], string.format('%.3f', due), 'PX', math.ceil((due - now) / 1000))
return 0
""")

SWAP = Script("""
-- KEYS: a hash. ARGV: field, revision expected, new value, milliseconds to live, channel.
-- A value starts with its revision. Answers nothing where the new value stands now, else what does.
local held = redis.call('HGET', KEYS[1], ARGV[1]) or ''
local revision = string.match(held, '^%d+') or '0'
if revision ~= ARGV[2] then return held end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PUBLISH', ARGV[5], ARGV[1] .. '\\n' .. ARGV[3])
return false
""")

GENERATION = """
-- Made from the time where there is none, so that one that was lost never comes again.
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end
local function renew(old)
  local new = math.max(clock(), old + 1)
  redis.call('SET', KEYS[1], string.format('%.0f', new), 'PX', ARGV[1])
  return new
end
"""

GET = Script(
    GENERATION
    + """
-- KEYS: the group's generation, the result. ARGV: milliseconds that a generation lives.
-- Answers the body and its age in microseconds, or the generation.
local generation = tonumber(redis.call('GET', KEYS[1]) or renew(0))
local kept = redis.call('HMGET', KEYS[2], 'generation', 'at', 'body')
if kept[1] and tonumber(kept[1]) == generation then
  return {kept[3], math.max(0, clock() - kept[2])}
end
return generation
"""
)

PUT = Script("""
-- KEYS: the group's generation, the result. ARGV: generation, body, milliseconds to live.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local t = redis.call('TIME')
local at = string.format('%.0f', t[1] * 1000000 + t[2])
redis.call('HSET', KEYS[2], 'generation', ARGV[1], 'at', at, 'body', ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
""")

DROP = Script(
    GENERATION
    + """
-- KEYS: the group's generation. ARGV: milliseconds that a generation lives.
return renew(tonumber(redis.call('GET', KEYS[1]) or '0'))
"""
)

BEAT = Script("""
-- KEYS: the set of hubs. ARGV: the beginning of a hub's key, own ID, own address or nothing,
-- milliseconds to live. Answers the time in seconds and microseconds, then ID and address of each.
if ARGV[3] ~= '' then
  redis.call('SET', ARGV[1] .. ARGV[2], ARGV[3], 'PX', ARGV[4])
  redis.call('SADD', KEYS[1], ARGV[2])
end
local t = redis.call('TIME')
local told = {t[1], t[2]}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local address = redis.call('GET', ARGV[1] .. id)
  if address then
    table.insert(told, id)
    table.insert(told, address)
  else
    redis.call('SREM', KEYS[1], id)
  end
end
return told
""")

LEAVE = Script("""
-- KEYS: the set of hubs, the hub's own key. ARGV: its ID.
redis.call('DEL', KEYS[2])
redis.call('SREM', KEYS[1], ARGV[1])
return 1
""")
