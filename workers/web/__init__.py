"""The front door: an HTTP API for any ERP, and the receiver of VTEX's hook."""
