"""``python -m raypipe``: the command line where the script is not on the PATH (a cluster job, say)."""

from raypipe.cli import main

main()
