"""Programs of external servers on a machine of their own: what runs there, and the hub's way to it.

The hub opens a WebSocket at `/programs` for each program, with its signed token (audience
`external_runner`) in the Authorization header. Text frames are control messages (`messages.py`),
JSON objects with a `kind`. Binary frames are lines of the program's standard streams: their first
byte is 0, or 1 where the line goes on in the next frame; none has more than 256 KiB of it.

    hub                                runner
    open (name, entry as in mcp.json) ->
                                    <- started (pid, protection)  or  refused (code, message, hint)
    lines                          <-> lines, scrubbed of the program's secrets; leftOut
    end                             -> silent when its output has ended
                                    <- exited (code, last words): nothing of it runs any more

Either side says `taken` for what it has handed on, and sends at most 1 MiB, or one line, beyond
that; so both always read, and hear of the other's end at once. Both send `beat` every 2.5 s and
give up after 10 s without a word; then the runner ends the program. Handles of the entry are
resolved by the runner, from its own environment and files: a server's secrets never reach the hub.
"""
