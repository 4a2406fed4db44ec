"""Hosts elsewhere, reached over SSH with keys alone: the inventory, the connections, the tools."""
