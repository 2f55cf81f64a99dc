"""The commands of `easgd`. A command imports what it uses when it is called."""
