#!/bin/sh
# What Playwright starts in Chromium's stead, with Chromium's arguments.
exec "$BROWSER_PYTHON" -I "${0%/*}/launcher.py" "$BROWSER_ORDER" "$@"
