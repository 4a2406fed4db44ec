"""HTTP from the client's side: one seam (`client.py`) and two implementations of it.

`plain.py` is our own, for `http://`, which all our own services speak: it is several times cheaper
than a general client, and every call goes through it. `with_aiohttp.py` is for the rest: aiohttp
knows certificates. The same tests run over both.
"""
