"""The `lfsproxy` command: what a person runs by hand. It only asks, shows and calls; others do the work."""
