"""The web application: routes, handlers, templates, cookies, logins and the listening socket.

This is the only room that answers requests with tornado. It translates: what is served, and to whom, is decided by the
modules above it.
"""
