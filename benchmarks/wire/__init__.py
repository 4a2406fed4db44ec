"""What the benchmarks of the wire share: echo servers, a byte gateway, a load, and figures."""
