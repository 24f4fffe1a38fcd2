"""Dashboards as a service of JupyterHub: what the Hub tells its service, and how visitors log in at the Hub.

Only ``identity`` needs JupyterHub to be installed, and only ``service`` imports it.
"""
