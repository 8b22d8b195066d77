"""The command line: one module a group of commands. A command imports what it needs when it runs."""
