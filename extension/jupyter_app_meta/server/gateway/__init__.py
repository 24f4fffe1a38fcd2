"""Gateways, behind which kernels run on other machines: what a server asks them over HTTP and WebSockets."""
