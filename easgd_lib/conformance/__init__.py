"""The properties of every right implementation, and the mistakes of the field that break them."""
