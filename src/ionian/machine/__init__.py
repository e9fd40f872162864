"""What the processes of one user on one machine share: the folder of the state, and the machine's identity."""
