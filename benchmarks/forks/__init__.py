"""What a visitor waits and costs: forked kernels, our other dashboards, Voila's, and frameworks in one process."""
