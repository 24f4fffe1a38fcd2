"""The web application: routes, handlers, templates, cookies, logins and the listening socket.

This is the only package that answers requests with tornado. It translates: other modules decide what is served, and
which visitors may see it.
"""
