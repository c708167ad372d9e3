"""The lake, changed by one committer: ask, intent, carry out, done."""
