"""Live pages: the board of one server, and the routes by which administrators see and end the pages of all servers."""
