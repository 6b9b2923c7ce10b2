"""What may be built: decisions, spaces, operations, the layer graph and its compiler.

Deciding, lowering and costing import no torch; only building does.
"""
