"""What can be wrong on a gateway, looked for, with the remedy."""
