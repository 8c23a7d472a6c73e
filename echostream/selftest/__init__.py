"""A known signal through the card, the line and the network, measured."""
