"""The middle of a stream: raw messages to files, commits and aggregate rows of the lake."""
