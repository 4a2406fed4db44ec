"""Serving a spoke, or several, or the hub: the part of the library that does I/O."""

from flotilla.serving.run import serve, serve_services
from flotilla.serving.service import Service
from flotilla.serving.spokes import spoke_service

__all__ = ["Service", "serve", "serve_services", "spoke_service"]
