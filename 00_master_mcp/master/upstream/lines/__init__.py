"""Servers of 2026-07-28 over standard streams, and which era a program speaks there."""
