"""netwright: find a neural network that fits a task and a device, make it smaller, prove that it runs."""

__version__ = "0.1.0"
