"""What a visitor sees around the cells of a page, and in its place: the header, the way to the login, and errors."""
