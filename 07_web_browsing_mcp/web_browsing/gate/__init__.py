"""The boundary: what of the web may be reached, and the proxy that all traffic goes through."""
