"""What a process needs that is forked once for each visitor: whether it may be forked, and what a child must not share.

Nothing uses it yet. Linux only: it reads /proc.
"""
