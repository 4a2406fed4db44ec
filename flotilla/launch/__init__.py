"""Starting the fleet on one machine: check, start, watch, tell, and end without a trace."""

from flotilla.launch.run import check, launch

__all__ = ["check", "launch"]
