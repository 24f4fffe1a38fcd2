"""The page of the running code's visitor, and the badge that shows the visitor on it."""
