"""What each process needs: to start, to wait for its servers, to end, to show that it is alive.

All of it is for everybody: `heartbeat`, `interrupt`, `reach`, `startup`.
"""
