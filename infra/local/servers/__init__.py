"""The servers that tries and tests need, as plain processes of this machine.

Reading order: `server` says what a server is, `catalogue` which there are (one module each),
`manager` brings them up and down. `installing`, `ports` and `processes` are what it stands on.
Standard library only, so that it works before anything is installed. Linux only: processes are
found by what `/proc` tells about them.
"""
