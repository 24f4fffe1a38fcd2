"""Where state is kept: a room for each kind of database, and `open`, which alone imports them."""
