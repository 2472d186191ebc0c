"""What operators press and see at the machine: one file each behind one Protocol."""
