"""The figures of the reproduction: what each one shows, drawn from records or from theory."""
