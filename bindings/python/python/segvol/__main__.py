"""`python -m segvol` is the command `segvol`."""

from segvol._command import main

main()
