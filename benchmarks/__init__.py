"""What jupyter-app-meta costs: run ``python -m benchmarks`` at the root of the repository.

Everything is measured against the same thing without us, in turns, in the same run. What cannot be
resolved shows in the spread, or in a control that compares plain with plain.
"""
