"""What a network's outputs mean and how good they are: one file per kind of target, NumPy alone.

Every file defines `answers(outputs, settings)`, `scores(outputs, targets, settings)` and
`summary(found, samples)`. Tasks score with them, and the bundle's loader carries the same text, so what is
reported is what the loader prints. They import nothing but numpy and typing, and nothing from each other.
"""
